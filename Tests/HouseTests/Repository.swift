// Reads the repository that the house tests judge: its Swift files, its other texts, and the table
// of targets in Package.swift.

import Glibc

/// The working tree that this test was built from.
enum Repository {
  static let root: String = {
    let parts = #filePath.split(separator: "/").dropLast(3)
    return "/" + parts.joined(separator: "/")
  }()

  /// All Swift files below Shared, Services, Tests and migrations.
  static let sources: [SourceFile] = ["Shared", "Services", "Tests", "migrations"].flatMap {
    files(in: $0)
  }
  .filter { $0.hasSuffix(".swift") }
  .map { SourceFile(path: $0, text: text($0)) }

  /// Every text of the repository that people or machines read, but published test vectors.
  static let texts: [(path: String, text: String)] = files(in: "")
    .filter { path in
      let isVector = path.hasPrefix("Tests/Vectors/")
      let ending = path.split(separator: ".").last.map(String.init) ?? ""
      return !isVector && !["png", "ico", "sqlite", "woff2", "gz", "pyc"].contains(ending)
    }
    .map { ($0, text($0)) }

  static func text(_ path: String) -> String {
    guard let file = fopen("\(root)/\(path)", "r") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&piece, 1, piece.count, file), count > 0 {
      bytes += piece[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Files below a folder, without what is built, hidden or downloaded.
  static func files(in folder: String) -> [String] {
    guard let stream = opendir(folder.isEmpty ? root : "\(root)/\(folder)") else { return [] }
    defer { closedir(stream) }
    var found: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      let isSkipped =
        name.hasPrefix(".build") || name.hasPrefix(".venv") || name.hasPrefix("__pycache__")
        || [".", "..", ".git", ".pytest_cache", "var", "node_modules"].contains(name)
      if isSkipped { continue }
      let path = folder.isEmpty ? name : "\(folder)/\(name)"
      var status = stat()
      guard lstat("\(root)/\(path)", &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFDIR: found += files(in: path)
      case S_IFREG where status.st_size < 2 << 20: found.append(path)
      default: break
      }
    }
    return found.sorted()
  }

  /// The targets of Package.swift in their order, with the names they depend on.
  static func targets(of manifest: String) -> [(name: String, dependencies: Set<String>)] {
    let source = Array(manifest.utf8)
    guard let start = manifest.place(behind: "targets: [") else { return [] }
    var targets: [(name: String, dependencies: Set<String>)] = []
    var depth = 0
    var strings: [String] = []
    var current: [UInt8]?
    for byte in source[start...] {
      if byte == UInt8(ascii: "\"") {
        if let text = current {
          strings.append(String(decoding: text, as: UTF8.self))
          current = nil
        } else {
          current = []
        }
      } else if current != nil {
        current?.append(byte)
      } else if byte == UInt8(ascii: "(") || byte == UInt8(ascii: "[") {
        depth += 1
      } else if byte == UInt8(ascii: ")") || byte == UInt8(ascii: "]") {
        depth -= 1
        if depth == 0, let name = strings.first {
          targets.append((name, Set(strings.dropFirst())))
          strings = []
        }
        if depth < 0 { break }
      }
    }
    return targets
  }
}

extension String {
  /// The byte offset behind the first `part`.
  func place(behind part: String) -> Int? {
    let text = Array(utf8)
    let wanted = Array(part.utf8)
    guard text.count >= wanted.count else { return nil }
    return (0...(text.count - wanted.count)).first { text[$0...].starts(with: wanted) }
      .map { $0 + wanted.count }
  }
}
