// Opens tickets at Zoho Desk (https://desk.zoho.com/DeskAPIDocument). An access token is asked for with
// our refresh token and used until shortly before its end; however many tickets come, one asks. A
// ticket without its attachment is still a ticket.

import Bytes
import Clocks
import Configuration
import FoundationEssentials
import HTTPClient
import HTTPCodec
import Logging
import OAuth
import StrictJSON
import Synchronization

/// The help desk.
protocol HelpDesk: Sendable {
  /// Opens a ticket; its number, or nil when that did not work.
  func open(_ message: SupportMessage) async -> String?
}

/// Zoho Desk.
final class ZohoDesk: HelpDesk {
  private static let patience = Duration.seconds(20)
  private static let answerBytesMax = 256 * 1024

  private struct Token {
    let text: String
    let until: Instant
  }

  private struct State {
    var token: Token?
    var asking: Task<Token?, Never>?
  }

  private let settings: AuthSettings.Zoho
  private let fetching: any Fetching
  private let log: Log
  private let state = Mutex(State())

  init(_ settings: AuthSettings.Zoho, fetching: any Fetching, log: Log) {
    self.settings = settings
    self.fetching = fetching
    self.log = log
  }

  private struct Body: Encodable {
    struct Contact: Encodable {
      let email: String
      let lastName: String
    }
    let subject: String
    let departmentId: String
    let contact: Contact
    let email: String
    let description: String
    let channel = "Web"
  }

  private struct Opened: Decodable {
    let id: String
    let ticketNumber: String
  }

  func open(_ message: SupportMessage) async -> String? {
    let body = Body(
      subject: message.topic, departmentId: settings.departmentID,
      contact: Body.Contact(
        email: message.email.text, lastName: message.name ?? message.email.text),
      email: message.email.text, description: message.html)
    guard let bytes = try? JSONEncoder().encode(body),
      let answer = await send("/api/v1/tickets", "application/json", [UInt8](bytes)),
      (200...299).contains(answer.status), isWellFormed(answer.body),
      let opened = try? JSONDecoder().decode(Opened.self, from: Data(answer.body)),
      Self.isPlain(opened.id), Self.isPlain(opened.ticketNumber)
    else {
      log.error("ticket_not_opened")
      return nil
    }
    if let attachment = message.attachment { await attach(attachment, to: opened.id) }
    return opened.ticketNumber
  }

  private func attach(_ attachment: SupportMessage.Attachment, to ticket: String) async {
    let boundary = "bindery-" + Hex.encode(Randomness.bytes(count: 16))
    let head = """
      --\(boundary)\r
      Content-Disposition: form-data; name="file"; filename="\(attachment.name)"\r
      Content-Type: application/octet-stream\r
      \r

      """
    let body = Array(head.utf8) + attachment.content + Array("\r\n--\(boundary)--\r\n".utf8)
    let answer = await send(
      "/api/v1/tickets/\(ticket)/attachments", "multipart/form-data; boundary=\(boundary)", body)
    if answer.map({ (200...299).contains($0.status) }) != true {
      log.warning("ticket_attachment_lost")
    }
  }

  /// Sends with a token, once more with a new one when the first is not taken any more.
  private func send(_ path: String, _ type: String, _ body: [UInt8]) async -> ClientResponse? {
    guard let token = await token() else { return nil }
    let answer = await send(path, type, body, with: token)
    guard answer?.status == 401 else { return answer }
    state.withLock { state in
      if state.token?.text.utf8.elementsEqual(token.utf8) == true { state.token = nil }
    }
    guard let next = await self.token() else { return nil }
    return await send(path, type, body, with: next)
  }

  private func send(
    _ path: String, _ type: String, _ body: [UInt8], with token: String
  ) async -> ClientResponse? {
    let request = ClientRequest(
      method: .post, origin: Origin(settings.deskURL), target: Self.base(settings.deskURL) + path,
      fields: [
        ("accept", Array("application/json".utf8)), ("content-type", Array(type.utf8)),
        ("orgid", Array(settings.organizationID.utf8)),
        ("authorization", Array("Zoho-oauthtoken \(token)".utf8)),
      ], body: body)
    return try? await fetching.fetch(
      request, policy: .operatorNamed, deadline: .now.advanced(by: Self.patience),
      bodyBytesMax: Self.answerBytesMax)
  }

  private func token() async -> String? {
    let asking = state.withLock { state -> Task<Token?, Never>? in
      if let token = state.token, token.until > .now { return nil }
      if let asking = state.asking { return asking }
      let asking = Task { await self.ask() }
      state.asking = asking
      return asking
    }
    guard let asking else { return state.withLock { $0.token?.text } }
    let token = await asking.value
    state.withLock { state in
      if state.asking == asking {
        state.asking = nil
        state.token = token
      }
    }
    return token?.text
  }

  private func ask() async -> Token? {
    guard
      let url = WebURL(
        "\(settings.accountsURL.origin)\(Self.base(settings.accountsURL))/oauth/v2/token")
    else { return nil }
    let secret = settings.clientSecret.withBytes { String(decoding: $0, as: UTF8.self) }
    let refreshToken = settings.refreshToken.withBytes { String(decoding: $0, as: UTF8.self) }
    let endpoint = TokenEndpoint(
      url, policy: .operatorNamed,
      client: ClientIdentity(id: settings.clientID, secret: secret, authentication: .post),
      fetch: fetching)
    do throws(TokenFailure) {
      let answer = try await endpoint.refresh(refreshToken, resource: nil)
      let seconds = max(0, (answer.lifetimeSeconds ?? 3600) - 60)
      return Token(
        text: answer.accessToken, until: Instant.now.advanced(by: .seconds(seconds)))
    } catch {
      log.error("help_desk_token_refused", ["reason": .literal(error.label)])
      return nil
    }
  }

  private static func base(_ url: WebURL) -> String {
    url.path.utf8.last == 0x2f ? String(url.path.dropLast()) : url.path
  }

  private static func isPlain(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0 & 0xdf) }
  }
}
