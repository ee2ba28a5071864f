// Reads declared settings for one process: finds the value in the environment or in the file that
// NAME_FILE names, parses it strictly, and turns every trouble into one error that names the
// setting. A process that asks for a setting it is not declared to read is our bug.

import Bytes
import Glibc
import HTTPCodec
import Posix

/// Gives one process the settings it may read.
struct SettingsReader {
  let program: Program
  let environment: Environment
  let folder: String

  /// A reader for `program`; refuses names that look like ours and are not declared.
  init(_ program: Program, _ environment: Environment) throws(ConfigurationError) {
    self.program = program
    self.environment = environment
    var buffer = [CChar](repeating: 0, count: 4097)
    let found = getcwd(&buffer, buffer.count) != nil
    folder =
      found
      ? String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      : "/"
    let known = Set(
      Setting.all.flatMap { setting -> [String] in
        setting.isSecret ? ["\(setting.name)", setting.fileName] : ["\(setting.name)"]
      })
    for name in environment.names where name.hasPrefix("BINDERY_") && !known.contains(name) {
      throw ConfigurationError(name, "is not a setting; `bindery settings` lists them")
    }
  }

  /// The bytes of a setting that is no secret; nil when it is not set.
  func bytes(_ setting: Setting) throws(ConfigurationError) -> [UInt8]? {
    precondition(!setting.isSecret && setting.readers.contains(program), "\(setting.name)")
    return environment["\(setting.name)"]
  }

  /// A secret as it was given, by value or by file; nil when it is not set.
  func heldSecret(_ setting: Setting) throws(ConfigurationError) -> SecretSetting? {
    precondition(setting.isSecret && setting.readers.contains(program), "\(setting.name)")
    return try heldSecret(named: "\(setting.name)")
  }

  /// A secret that the catalogue names, such as a client secret.
  func heldSecret(named name: String) throws(ConfigurationError) -> SecretSetting? {
    let value = environment.secret(name)
    let fileName = "\(name)_FILE"
    guard let path = environment[fileName] else { return value }
    guard value == nil else {
      throw ConfigurationError(name, "is set both itself and by \(fileName)")
    }
    guard let path = ValueParser.path(path, from: folder) else {
      throw ConfigurationError(fileName, "is not a path")
    }
    let secret: SecretSetting?
    do throws(SettingFileError) {
      secret = try SettingFile.readSecret(path)
    } catch {
      throw problem(fileName, error)
    }
    guard let secret else { throw ConfigurationError(fileName, "names an empty file") }
    return secret
  }

  private func file(_ name: String, _ path: String) throws(ConfigurationError) -> [UInt8] {
    do throws(SettingFileError) {
      return try SettingFile.read(path)
    } catch {
      throw problem(name, error)
    }
  }

  private func problem(_ name: String, _ error: SettingFileError) -> ConfigurationError {
    switch error {
    case .unreadable(let reason):
      ConfigurationError(name, "names a file that cannot be read (\(reason.name))")
    case .tooLong: ConfigurationError(name, "names a file that is too long")
    case .notAFile: ConfigurationError(name, "names a folder")
    }
  }

  private func parsed<Value>(
    _ setting: Setting, _ rule: String, _ parse: ([UInt8]) -> Value?
  ) throws(ConfigurationError) -> Value? {
    guard let bytes = try bytes(setting) else { return nil }
    guard let value = parse(bytes) else { throw ConfigurationError(setting, rule) }
    return value
  }

  func text(_ setting: Setting) throws(ConfigurationError) -> String? {
    guard case .text(let limit) = setting.kind else { preconditionFailure() }
    return try parsed(setting, "must be one line of at most \(limit) bytes") {
      ValueParser.text($0, bytesMax: limit)
    }
  }

  func flag(_ setting: Setting, _ standard: Bool) throws(ConfigurationError) -> Bool {
    try parsed(setting, "must be true or false", ValueParser.flag) ?? standard
  }

  func number(_ setting: Setting) throws(ConfigurationError) -> Int? {
    guard case .number(let range) = setting.kind else { preconditionFailure() }
    return try parsed(
      setting, "must be a whole number from \(range.lowerBound) to \(range.upperBound)"
    ) { bytes in ValueParser.decimal(bytes).flatMap { range.contains($0) ? $0 : nil } }
  }

  /// The chosen word, or the first of them when it is not set.
  func choice<Value>(
    _ setting: Setting, _ standard: Value, _ make: (String) -> Value?
  ) throws(ConfigurationError) -> Value {
    guard case .choice(let words) = setting.kind else { preconditionFailure() }
    let rule = "must be one of " + words.map { "\($0)" }.joined(separator: ", ")
    return try parsed(setting, rule) { bytes in
      words.first { $0.description.utf8.elementsEqual(bytes) }.flatMap { make("\($0)") }
    } ?? standard
  }

  func directory(_ setting: Setting, _ standard: String) throws(ConfigurationError) -> String {
    let found = try parsed(setting, "must be a path") { ValueParser.path($0, from: folder) }
    return found ?? ValueParser.path(Array(standard.utf8), from: folder) ?? standard
  }

  /// The path of a file, which is readable now.
  func readableFile(_ setting: Setting) throws(ConfigurationError) -> String? {
    let path = try parsed(setting, "must be a path") { ValueParser.path($0, from: folder) }
    if let path { _ = try file("\(setting.name)", path) }
    return path
  }

  /// What is in the file that a setting names.
  func content(_ setting: Setting) throws(ConfigurationError) -> [UInt8]? {
    let path = try parsed(setting, "must be a path") { ValueParser.path($0, from: folder) }
    guard let path else { return nil }
    return try file("\(setting.name)", path)
  }

  func descriptor(_ setting: Setting) throws(ConfigurationError) -> Int32? {
    try parsed(setting, "must be the number of an open descriptor from 3") { bytes in
      ValueParser.decimal(bytes).flatMap { (3...65_535).contains($0) ? Int32($0) : nil }
    }
  }

  func secureURL(_ setting: Setting) throws(ConfigurationError) -> WebURL? {
    let url = try parsed(setting, "must be an absolute URL", ValueParser.url)
    if let url, !url.isSecure {
      throw ConfigurationError(setting, "must be https, or http to a loopback host")
    }
    return url
  }

  func secureOrigins(_ setting: Setting) throws(ConfigurationError) -> [WebURL]? {
    let rule = "must be origins (https://host[:port]) separated by commas"
    let origins = try parsed(setting, rule) { bytes -> [WebURL]? in
      guard let items = ValueParser.list(bytes) else { return nil }
      let urls = items.compactMap(ValueParser.url)
      return urls.count == items.count && urls.allSatisfy(\.isOrigin) ? urls : nil
    }
    if let origins, !origins.allSatisfy(\.isSecure) {
      throw ConfigurationError(setting, "must be https, or http to a loopback host")
    }
    return origins
  }

  func browserOrigins(_ setting: Setting) throws(ConfigurationError) -> AllowedOrigins {
    try parsed(setting, "must be origins separated by commas, or *") { bytes in
      if bytes == [0x2a] { return .any }
      guard let items = ValueParser.list(bytes) else { return nil }
      let urls = items.compactMap(ValueParser.url)
      return urls.count == items.count && urls.allSatisfy(\.isOrigin)
        ? .listed(urls.map(\.origin)) : nil
    } ?? .listed([])
  }

  func listener(_ setting: Setting) throws(ConfigurationError) -> ListenSetting {
    let rule = "must be host:port with a literal address, or none"
    let standard = setting.standard.map { Array("\($0)".utf8) } ?? []
    guard let fallback = ValueParser.listener(standard) else { preconditionFailure() }
    return try parsed(setting, rule, ValueParser.listener) ?? fallback
  }

  func ranges(_ setting: Setting) throws(ConfigurationError) -> [CIDR] {
    try parsed(setting, "must be addresses or CIDRs without host bits, separated by commas") {
      bytes -> [CIDR]? in
      guard let items = ValueParser.list(bytes) else { return nil }
      let ranges = items.compactMap(ValueParser.range)
      return ranges.count == items.count ? ranges : nil
    } ?? []
  }

  func namedRanges(_ setting: Setting) throws(ConfigurationError) -> [String: [CIDR]] {
    let parse = { (bytes: [UInt8]) -> [String: [CIDR]]? in
      guard let items = ValueParser.list(bytes) else { return nil }
      let pairs = items.compactMap(ValueParser.namedRange)
      guard pairs.count == items.count else { return nil }
      return Dictionary(grouping: pairs, by: \.name).mapValues { $0.map(\.range) }
    }
    let standard = setting.standard.flatMap { parse(Array("\($0)".utf8)) } ?? [:]
    return try parsed(setting, "must be name=CIDR separated by commas", parse) ?? standard
  }

  func email(_ setting: Setting) throws(ConfigurationError) -> String? {
    try parsed(setting, "must be an e-mail address", ValueParser.email)
  }

  func secret(_ setting: Setting) throws(ConfigurationError) -> SecretSetting? {
    guard let secret = try heldSecret(setting) else { return nil }
    return try admitted("\(setting.name)", secret)
  }

  /// Visible ASCII only: a secret goes into a header or a form, and a stray blank or line break is
  /// a copying mistake that would otherwise show as a puzzling refusal upstream.
  func admitted(
    _ name: String, _ secret: SecretSetting
  ) throws(ConfigurationError) -> SecretSetting {
    let isPlain = secret.withBytes { bytes in
      (1...16_384).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7e).contains($0) }
    }
    guard isPlain else { throw ConfigurationError(name, "must be visible ASCII without blanks") }
    return secret
  }

  /// Secrets between commas; blanks around one are allowed, empty ones are not.
  func secrets(_ setting: Setting) throws(ConfigurationError) -> [SecretSetting] {
    guard let all = try heldSecret(setting) else { return [] }
    let items = all.withBytes { bytes in
      bytes.split(separator: 0x2c, maxSplits: 99, omittingEmptySubsequences: false).map { item in
        var item = item
        while item.first == 0x20 { item.removeFirst() }
        while item.last == 0x20 { item.removeLast() }
        return SecretSetting(copying: UnsafeRawBufferPointer(rebasing: item))
      }
    }
    var secrets: [SecretSetting] = []
    for item in items { secrets.append(try admitted("\(setting.name)", item)) }
    return secrets
  }
}

/// Which browser origins may speak to the MCP endpoints.
public enum AllowedOrigins: Sendable, Equatable {
  /// Every one.
  case any
  /// These, written as a browser does.
  case listed([String])
}
