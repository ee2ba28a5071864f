// What operators and strangers write down: tokens, the catalogue, addresses, settings. A text that
// one of our readers takes as JSON must be JSON for the strictest of them, and no error may quote
// the value that it is about.

import Configuration
import JOSE
import Posix
import Providers
import StrictJSON

func fuzzTokens(_ bytes: UnsafeRawBufferPointer) {
  let text = Array(bytes)
  if (try? JSONMembers(parsing: text)) != nil {
    promise(isWellFormed(text), "what tokens take as JSON is JSON")
  }
  _ = try? CompactJWS.Parts(parsing: String(decoding: text, as: UTF8.self))
}

func fuzzCatalogue(_ bytes: UnsafeRawBufferPointer) {
  let text = Array(bytes)
  if (try? Catalogue.builtIn.merging(json: text)) != nil {
    promise(isWellFormed(text), "what the catalogue takes as JSON is JSON")
  }
}

func fuzzAddresses(_ bytes: UnsafeRawBufferPointer) {
  let text = String(decoding: bytes, as: UTF8.self)
  if let address = IPAddress(text) {
    promise(IPAddress("\(address)") == address, "an address reads back as written")
    _ = address.isSpecialUse
  }
  if let network = CIDR(text) {
    promise(CIDR("\(network)") == network, "a network reads back as written")
    promise(network.contains(network.network), "a network contains its first address")
  }
}

/// Settings whose values are no paths: a fuzzer must not open files.
private let settings = Setting.all.filter { setting in
  !"\(setting.name)".hasSuffix("_FILE") && !"\(setting.name)".hasSuffix("_DIR")
}

/// Lines of one byte for the setting and the rest for its value.
func fuzzSettings(_ bytes: UnsafeRawBufferPointer) {
  var variables: [String: String] = [:]
  for line in bytes.split(separator: UInt8(ascii: "\n")) {
    guard let first = line.first else { continue }
    let name = "\(settings[Int(first) % settings.count].name)"
    variables[name] = String(decoding: line.dropFirst(), as: UTF8.self)
  }
  let environment = Environment(variables)
  let problems = [
    problem { () throws(ConfigurationError) in _ = try EdgeSettings(environment) },
    problem { () throws(ConfigurationError) in _ = try AuthSettings(environment) },
    problem { () throws(ConfigurationError) in _ = try BillingSettings(environment) },
    problem { () throws(ConfigurationError) in _ = try SchedulerSettings(environment) },
  ]
  for case .some(let error) in problems {
    promise(!error.setting.isEmpty && !error.problem.isEmpty, "an error names a setting")
    for (name, value) in variables where value.utf8.count >= 24 {
      promise(!error.description.contains(value), "an error never quotes a value")
      _ = name
    }
  }
}

private func problem(
  _ read: () throws(ConfigurationError) -> Void
) -> ConfigurationError? {
  do throws(ConfigurationError) {
    try read()
    return nil
  } catch { return error }
}
