// The catalogue as the request path needs it: services found by the bytes of their name, origins and
// targets ready to write. Built when the catalogue is loaded, then only read.

import Bytes
import Glibc
import HTTPClient
import HTTPCodec
import Metrics
import Providers

/// One service, ready to be forwarded to.
final class UpstreamService: Sendable {
  let provider: Provider
  /// Its row in metrics.
  let row: Int
  let id: [UInt8]
  let origin: Origin
  /// `mcp_url`'s path and query.
  let target: [UInt8]
  /// The value of the Host field.
  let authority: [UInt8]
  /// How an API key is sent, when the service takes one.
  let keyLine: APIKeyLine?

  init(_ provider: Provider, row: Int) {
    self.provider = provider
    self.row = row
    id = Array(provider.id.utf8)
    let url = provider.mcpURL
    origin = Origin(url)
    target = Array(url.target.utf8)
    authority = Array(origin.authority.utf8)
    keyLine = provider.apiKey.map(APIKeyLine.init)
  }
}

/// The field line of an API key, laid out but for the key.
struct APIKeyLine: Sendable {
  private let start: [UInt8]
  private let end: [UInt8]
  private let rules: APIKeyRules

  init(_ rules: APIKeyRules) {
    self.rules = rules
    start = Array("\(rules.header): \(rules.valuePrefix)".utf8)
    end = Array("\(rules.valueSuffix)\r\n".utf8)
  }

  /// Writes the line for `key`; false, and nothing written, when it may not stand in a header.
  func write(_ key: UnsafeRawBufferPointer, to buffer: Buffer) -> Bool {
    guard rules.encoding == .plain else {
      guard let value = rules.headerValue(key: key) else { return false }
      buffer.append(text: "\(rules.header): ")
      buffer.append(value)
      buffer.append("\r\n")
      return true
    }
    guard rules.admits(key) else { return false }
    buffer.append(start)
    buffer.append(key)
    buffer.append(end)
    return true
  }
}

/// All services of the catalogue.
final class UpstreamTable: Sendable {
  let services: [UpstreamService]

  /// - Parameter rows: names in metrics; what is not among them gets the last.
  init(_ catalogue: Catalogue, rows: LabelNames) {
    services = catalogue.providers.map {
      UpstreamService($0, row: rows.position(of: $0.id) ?? rows.values.count - 1)
    }
  }

  /// The service called `name`, or nil.
  func find(_ name: UnsafeRawBufferPointer) -> UpstreamService? {
    guard let base = name.baseAddress else { return nil }
    return services.first { service in
      service.id.count == name.count && memcmp(service.id, base, name.count) == 0
    }
  }
}
