// The services this deployment knows: the built-in ones, with the operator's file merged over them
// by id (a service in the file replaces the built-in one whole). The order is that of the built-in
// list, then that of the file.

import HTTPCodec

/// Why a catalogue was refused. Names the service and the field, never a value.
public enum CatalogueError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The text is no JSON, or not of the expected outer shape.
  case malformed
  /// Something is wrong with a field; `service` is its id, or its place in the list.
  case field(service: String, field: String, problem: Problem)

  /// What is wrong with a field.
  public enum Problem: String, Sendable {
    case missing = "is missing"
    case unknown = "is not known"
    case wrongType = "has the wrong type"
    case badValue = "has a value that is not allowed"
    case insecure = "must be https, or http to a loopback host"
    case duplicate = "is there twice"
    case contradicts = "contradicts another field"
  }

  /// One line for the operator.
  public var description: String {
    switch self {
    case .malformed: "is not a JSON object with the single member \"services\""
    case .field(let service, let field, let problem):
      "service \(service): \(field) \(problem.rawValue)"
    }
  }
}

/// All services that can be connected.
public struct Catalogue: Sendable, Equatable {
  /// The services in their order.
  public let providers: [Provider]
  private let positions: [String: Int]

  /// A catalogue of `providers`, whose ids differ.
  init(providers: [Provider]) {
    self.providers = providers
    positions = Dictionary(
      uniqueKeysWithValues: providers.enumerated().map { ($0.element.id, $0.offset) })
  }

  /// The services that come with Bindery.
  public static let builtIn: Catalogue = {
    do {
      return try Catalogue(providers: CatalogueReader.read(Array(builtInJSON.utf8)))
    } catch {
      preconditionFailure("the built-in catalogue is unsound: \(error)")
    }
  }()

  /// This catalogue with the services of `json` merged over it.
  public func merging(json: [UInt8]) throws(CatalogueError) -> Catalogue {
    var merged = providers
    for provider in try CatalogueReader.read(json) {
      if let position = merged.firstIndex(where: { $0.id.utf8.elementsEqual(provider.id.utf8) }) {
        merged[position] = provider
      } else {
        merged.append(provider)
      }
    }
    return Catalogue(providers: merged)
  }

  /// The service with that id.
  public subscript(id: String) -> Provider? { positions[id].map { providers[$0] } }

  /// The place of a service in `providers`, for tables that run along with it.
  public func position(of id: String) -> Int? { positions[id] }
}
