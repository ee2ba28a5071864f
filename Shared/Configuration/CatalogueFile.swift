// The operator's file of services: merged over the built-in catalogue at the start, and read again
// on SIGHUP. A file that cannot be used changes nothing; the old catalogue goes on.

import Providers

/// The file that PROVIDERS_FILE names.
public struct CatalogueFile: Sendable {
  /// Where it lies; absolute.
  public let path: String

  init(path: String) { self.path = path }

  /// The built-in catalogue with the file, as it is now, merged over it.
  public func read() throws(ConfigurationError) -> Catalogue {
    let json: [UInt8]
    do throws(SettingFileError) {
      json = try SettingFile.read(path)
    } catch {
      throw ConfigurationError(.providersFile, "names a file that cannot be read")
    }
    let catalogue: Catalogue
    do throws(CatalogueError) {
      catalogue = try Catalogue.builtIn.merging(json: json)
    } catch {
      throw ConfigurationError(.providersFile, error)
    }
    // A service must not be named so that its client's settings are another setting.
    let declared = Set(Setting.all.map { "\($0.name)" })
    for provider in catalogue.providers {
      if declared.contains(provider.clientIDSetting)
        || declared.contains(provider.clientSecretSetting)
      {
        throw ConfigurationError(
          .providersFile, "service \(provider.id): id is reserved by another setting's name")
      }
    }
    return catalogue
  }
}
