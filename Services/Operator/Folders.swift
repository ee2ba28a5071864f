// Makes the two folders that all processes share, with the rights that let a group of service
// users work in them and nobody else look inside.

import Configuration
import Glibc
import Posix

/// The folders of the settings.
enum Folders {
  /// Makes what is missing: data 0770, run 0750, nothing for others.
  static func make(_ common: CommonSettings) throws(CommandFailure) {
    umask(0o007)
    try make(common.dataDirectory, mode: 0o770, "\(Setting.dataDirectory.name)")
    try make(common.runDirectory, mode: 0o750, "\(Setting.runDirectory.name)")
  }

  private static func make(
    _ path: String, mode: mode_t, _ setting: String
  ) throws(CommandFailure) {
    var partial = ""
    for part in path.split(separator: "/") {
      partial += "/\(part)"
      if mkdir(partial, mode) != 0, errno != EEXIST {
        throw .failed("\(setting): the folder cannot be made (\(Errno.last.name))")
      }
    }
  }
}
