// How does a mail leave the house? Over SMTP2GO's HTTP API, or, without a key, as a file in the
// outbox. A carrier says whether it has the mail; nothing here tries twice or remembers.

import Clocks
import Configuration
import FoundationEssentials
import HTTPClient
import HTTPCodec
import OAuth
import Posix
import StrictJSON

/// Why a mail is still here.
enum MailFailure: Error, Equatable, Sendable {
  /// Nobody answered, or not in time.
  case unreachable
  /// SMTP2GO said no.
  case refused(status: Int)
  /// The answer can not be understood: the mail may be on its way.
  case unclear
  case disk(Errno)
  /// Auth could not be asked for the link.
  case linkUnavailable
  /// There is nothing to say any more: the link is not wanted, or was asked for too long ago.
  case outdated

  /// One word for the row and the log.
  var label: StaticString {
    switch self {
    case .unreachable: "unreachable"
    case .refused(let status):
      switch status {
      case 401, 403: "key_refused"
      case 429: "rate_limited"
      case 500...: "failed_there"
      default: "refused"
      }
    case .unclear: "unclear"
    case .disk: "disk"
    case .linkUnavailable: "link_unavailable"
    case .outdated: "outdated"
    }
  }
}

/// Takes mails.
protocol MailCarrier: Sendable {
  /// Returns when the mail is in other hands, for good.
  func carry(_ mail: QueuedMail, at now: UnixTime) async throws(MailFailure)
}

/// Sends by `POST /email/send` (https://developers.smtp2go.com/docs/send-an-email).
struct SMTP2GO: MailCarrier {
  /// How long one mail may take.
  static let patience = Duration.seconds(20)

  let url: WebURL
  let key: SecretSetting
  let sender: String
  let fetch: any Fetching

  private struct Message: Encodable {
    let sender: String
    let to: [String]
    let subject: String
    let text: String

    private enum CodingKeys: String, CodingKey {
      case sender, to, subject
      case text = "text_body"
    }
  }

  private struct Answer: Decodable {
    struct Data: Decodable { let succeeded: Int? }
    let data: Data
  }

  func carry(_ mail: QueuedMail, at now: UnixTime) async throws(MailFailure) {
    let message = Message(
      sender: sender, to: [mail.recipient], subject: mail.subject, text: mail.body)
    guard let body = try? JSONEncoder().encode(message) else { throw .unclear }
    let path = url.path.hasSuffix("/") ? String(url.path.dropLast()) : url.path
    let request = ClientRequest(
      method: .post, origin: Origin(url), target: "\(path)/email/send",
      fields: [
        ("accept", Array("application/json".utf8)),
        ("content-type", Array("application/json".utf8)),
        ("x-smtp2go-api-key", key.withBytes { Array($0) }),
      ], body: [UInt8](body))
    let answer: ClientResponse
    do throws(ClientError) {
      answer = try await fetch.fetch(
        request, policy: .operatorNamed, deadline: .now.advanced(by: Self.patience),
        bodyBytesMax: 64 * 1024)
    } catch { throw .unreachable }
    guard (200...299).contains(answer.status) else { throw .refused(status: answer.status) }
    guard isWellFormed(answer.body),
      let read = try? JSONDecoder().decode(Answer.self, from: Data(answer.body)),
      let succeeded = read.data.succeeded
    else { throw .unclear }
    if succeeded < 1 { throw .refused(status: answer.status) }
  }
}
