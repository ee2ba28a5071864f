// What does an event say of itself? Only the envelope is read here: enough to file it, to find
// it again by object and customer, and to work on it later. The rest stays bytes. A field that
// Stripe adds is no error; one that we need and that is missing or of another type is.

import FoundationEssentials
import StrictJSON

/// Why verified bytes are not an event that we can file.
public enum EventError: Error, Equatable, Sendable {
  /// No JSON, a field missing, or one of another type than Stripe documents.
  case unreadable
  case fieldTooLong
}

/// The envelope of an event.
public struct StripeEvent: Decodable, Equatable, Sendable {
  public let id: String
  public let type: String
  public let createdAt: Int64
  public let isLive: Bool
  public let apiVersion: String?
  /// Set when the event belongs to a connected account.
  public let account: String?
  public let objectType: String?
  public let objectID: String?
  public let customerID: String?

  static let fieldBytesMax = 255

  /// Reads the envelope of strict JSON: text that two readers could read differently is refused.
  public init(json bytes: [UInt8]) throws(EventError) {
    guard isWellFormed(bytes) else { throw .unreadable }
    do {
      self = try JSONDecoder().decode(StripeEvent.self, from: Data(bytes))
    } catch let error as EventError {
      throw error
    } catch {
      throw .unreadable
    }
  }

  public init(from decoder: any Decoder) throws {
    let envelope = try Envelope(from: decoder)
    let object = envelope.data.object
    id = envelope.id
    type = envelope.type
    createdAt = envelope.created
    isLive = envelope.livemode
    apiVersion = envelope.apiVersion
    account = envelope.account
    objectType = object.object
    objectID = object.id
    customerID = object.object == "customer" ? object.id : object.customer?.id
    let texts = [id, type, apiVersion, account, objectType, objectID, customerID]
    guard !id.isEmpty, !type.isEmpty,
      texts.allSatisfy({ ($0?.utf8.count ?? 0) <= StripeEvent.fieldBytesMax })
    else { throw EventError.fieldTooLong }
  }

  private struct Envelope: Decodable {
    let id: String
    let type: String
    let created: Int64
    let livemode: Bool
    let apiVersion: String?
    let account: String?
    let data: Payload

    enum CodingKeys: String, CodingKey {
      case id, type, created, livemode, account, data
      case apiVersion = "api_version"
    }
  }

  private struct Payload: Decodable {
    let object: Object
  }

  private struct Object: Decodable {
    let id: String?
    let object: String?
    let customer: Reference?
  }

  /// A reference to another object: its id, or the object itself when it was expanded.
  private struct Reference: Decodable {
    let id: String?

    private struct Expanded: Decodable { let id: String? }

    init(from decoder: any Decoder) throws {
      if let text = try? decoder.singleValueContainer().decode(String.self) {
        id = text
      } else {
        id = try Expanded(from: decoder).id
      }
    }
  }
}
