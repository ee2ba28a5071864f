// Mails from a request to a carrier: what may be said to whom, how the queue remembers, how SMTP2GO's
// answers are read, and what a file in the outbox looks like.

import Bytes
import Clocks
import Configuration
import Database
import FoundationEssentials
import Glibc
import HTTPClient
import HTTPCodec
import Logging
import OAuth
import Posix
import RPC
import Synchronization
import TestFolders
import Testing

@testable import bindery_scheduler

private let now = UnixTime(seconds: 1_800_000_000)

@Suite("Mail rules") struct MailRulesTests {
  static let addresses: [(String, Bool)] = [
    ("a@b.example", true), ("o'neil+tag@sub.example.org", true), ("a@localhost", true),
    ("", false), ("a", false), ("@b", false), ("a@", false), ("a@b@c", false),
    ("a@b.example\r\nBcc: c@d.example", false), ("a@b.example\nX: y", false),
    ("a@b.example,c@d.example", false), ("a@b.example;c@d.example", false),
    ("A <a@b.example>", false), ("a b@c.example", false), ("\"a\"@b.example", false),
    ("ä@b.example", false), ("a@b.example\u{0}", false),
    (String(repeating: "a", count: 250) + "@b.ex", false),
  ]

  @Test("one plain address is a recipient", arguments: addresses)
  func recipients(address: String, isGood: Bool) {
    #expect(MailRules.admits(recipient: address) == isGood)
  }

  static let lines = ["a\r\nBcc: x", "a\nb", "a\rb", "a\u{85}b", "a\u{2028}b", "a\u{0}b", "a\tb"]

  @Test("a subject and a value are one line", arguments: lines) func oneLine(text: String) {
    #expect(!MailRules.admits(subject: text) && !MailRules.admits(value: text))
  }

  @Test("lengths have bounds") func lengths() {
    #expect(MailRules.admits(subject: String(repeating: "é", count: 100)))
    #expect(!MailRules.admits(subject: String(repeating: "é", count: 100) + "a"))
    #expect(!MailRules.admits(subject: "") && MailRules.admits(value: ""))
    #expect(!MailRules.admits(value: String(repeating: "a", count: 1001)))
    #expect(!MailRules.admits(occasion: "") && !MailRules.admits(occasion: "a b"))
  }

  @Test("tries get rarer and end after three days") func pauses() {
    let pauses = (1...9).map { MailRules.pauseSeconds(afterTries: $0) }
    #expect(pauses == [60, 300, 900, 3600, 10_800, 21_600, 43_200, 43_200, 43_200])
    var time = now
    var tries: Int64 = 1
    while let next = MailRules.nextTry(createdAt: now, tries: tries, now: time) {
      time = next
      tries += 1
    }
    #expect((2 * 86_400...3 * 86_400).contains(time.seconds - now.seconds))
    #expect(tries == 12)
  }
}

@Suite("Mail templates") struct MailTemplateTests {
  private func values(_ kind: MailKind) -> [String: String] {
    Dictionary(uniqueKeysWithValues: MailTemplate.of(kind).gaps.map { ($0, "<\($0)>") })
  }

  @Test("fill every gap and say where to go", arguments: MailKind.allCases)
  func filled(kind: MailKind) throws {
    let text = try #require(MailTemplate.of(kind).filled(with: values(kind)))
    #expect(!text.subject.contains("{") && !text.body.contains("{"))
    #expect(text.body.hasSuffix("\n") && !text.body.contains("\r"))
    for gap in MailTemplate.of(kind).gaps {
      #expect((text.subject + text.body).contains("<\(gap)>"), "\(gap)")
    }
    let whereTo = kind == .passwordReset ? "<reset_link>" : "<dashboard>"
    #expect(kind == .newUser || text.body.contains(whereTo))
    #expect(text.body.split(separator: "\n").allSatisfy { $0.utf8.count <= 100 })
  }

  @Test("take exactly their values, one line each") func exact() {
    let template = MailTemplate.of(.yearlyReminder)
    var wrong = values(.yearlyReminder)
    wrong["more"] = "x"
    #expect(template.filled(with: wrong) == nil)
    wrong = values(.yearlyReminder)
    wrong["label"] = nil
    #expect(template.filled(with: wrong) == nil)
    wrong["label"] = "a\r\nBcc: x@y.example"
    #expect(template.filled(with: wrong) == nil)
  }

  @Test("leave a value as it is, also when it looks like a gap") func notTwice() throws {
    var values = values(.yearlyReminder)
    values["label"] = "{dashboard} }{"
    let text = try #require(MailTemplate.of(.yearlyReminder).filled(with: values))
    #expect(text.body.contains("\"{dashboard} }{\""))
  }
}

/// Answers by a script, and notes what it was asked.
private final class ScriptedCarrier: MailCarrier {
  let asked = Mutex<[QueuedMail]>([])
  let failures: Mutex<[MailFailure?]>
  init(_ failures: [MailFailure?] = []) { self.failures = Mutex(failures) }

  func carry(_ mail: QueuedMail, at now: UnixTime) async throws(MailFailure) {
    asked.withLock { $0.append(mail) }
    let failure = failures.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    if let failure { throw failure }
  }
}

@Suite("Mailer") struct MailerTests {
  private let home = TestFolder("mail")
  private let database: DatabaseThread

  init() throws {
    _ = try MigrationRunner(directory: home.path).run()
    database = try DatabaseThread(DatabaseFile(.bindery, in: home.path), as: .scheduler)
  }

  private func mailer(
    _ carrier: any MailCarrier, resetToken: @escaping Mailer.ResetTokens = { _ in nil }
  ) -> Mailer {
    Mailer(
      bindery: database, carrier: carrier, log: .discarding,
      dashboard: "https://bindery.example/dashboard", host: "bindery.example",
      resetToken: resetToken)
  }

  private func queue(_ mailer: Mailer, _ occasion: String, to recipient: String = "a@b.example")
    async throws -> Mailer.Queued
  {
    try await mailer.queue(
      .newUser, to: recipient, occasion: occasion, values: ["email": "x@y.example"],
      about: nil, at: now)
  }

  private func rows() async throws -> [String] {
    try await database.run { (database) throws(DatabaseError) in
      try database.all(
        """
        SELECT state || ' ' || tries || ' ' || coalesce(reason, '-') || ' ' || (body IS NULL)
        FROM mail_queue ORDER BY dedupe_key
        """
      ) { (row) throws(DatabaseError) in try row.text(0) }
    }
  }

  @Test("sends once per occasion and forgets the body") func once() async throws {
    let carrier = ScriptedCarrier()
    let mailer = mailer(carrier)
    final class Count: Sendable { let value = Atomic<Int>(0) }
    let hurried = Count()
    mailer.onNews { hurried.value.add(1, ordering: .relaxed) }
    #expect(try await queue(mailer, "one") == .new)
    #expect(try await queue(mailer, "one", to: "c@d.example") == .known)
    #expect(hurried.value.load(ordering: .relaxed) == 1)
    let report = try await mailer.sendDue(at: now)
    #expect(report.counts.map(\.count) == [1, 0, 0, 0] && !report.hasFindings)
    _ = try await mailer.sendDue(at: now)
    let asked = carrier.asked.withLock { $0 }
    #expect(asked.map(\.recipient) == ["a@b.example"])
    #expect(asked.map(\.body) == ["x@y.example has registered at bindery.example.\n"])
    #expect(try await rows() == ["sent 1 - 1"])
    #expect(try await queue(mailer, "one") == .known)
  }

  @Test("refuses what could be a header") func refused() async throws {
    let mailer = mailer(ScriptedCarrier())
    #expect(try await queue(mailer, "one", to: "a@b.example\r\nBcc: c@d.example") == .refused)
    #expect(try await queue(mailer, "o ne") == .refused)
    let more = try await mailer.queue(
      .newUser, to: "a@b.example", occasion: "x", values: ["email": "a\nb"], about: nil,
      at: now)
    #expect(more == .refused)
    #expect(try await rows().isEmpty)
  }

  @Test("a mail that fails stops no other, waits, and is parked in the end")
  func failing() async throws {
    let carrier = ScriptedCarrier([.refused(status: 400), nil])
    let mailer = mailer(carrier)
    for occasion in ["one", "two"] { _ = try await queue(mailer, occasion) }
    let report = try await mailer.sendDue(at: now)
    #expect(report.counts.map(\.count) == [1, 1, 1, 0])
    let states = try await rows()
    #expect(Set(states) == ["waiting 1 refused 0", "sent 1 - 1"])
    // The next try is a minute away by the clock of the process.
    #expect(try await mailer.sendDue(at: now).counts[0].count == 0)
    try await database.run { (database) throws(DatabaseError) in
      try database.execute(
        """
        UPDATE mail_queue SET created_at = created_at - 259200, next_try_at = 1
        WHERE state = 'waiting'
        """)
    }
    carrier.failures.withLock { $0 = [.refused(status: 400)] }
    let last = try await mailer.sendDue(at: now)
    #expect(last.counts.map(\.count) == [0, 1, 0, 1] && last.hasFindings)
  }

  private let person = "00000000-0000-4000-8000-000000000007"

  private func forget(_ mailer: Mailer, about user: String?) async throws -> Mailer.Queued {
    try await mailer.queue(
      .passwordReset, to: "a@b.example", occasion: "r1", values: [:], about: user, at: now)
  }

  @Test("the link of a reset is in the mail and never in the queue") func link() async throws {
    let carrier = ScriptedCarrier([.unreachable])
    let asked = Mutex<[String]>([])
    let mailer = mailer(carrier) { user in
      asked.withLock { $0.append(user) }
      return "token.canary"
    }
    #expect(try await forget(mailer, about: nil) == .refused)
    #expect(try await forget(mailer, about: "x") == .refused)
    #expect(try await forget(mailer, about: person) == .new)
    _ = try await mailer.sendDue(at: now)
    let stored = try await database.run { (database) throws(DatabaseError) in
      try database.all("SELECT subject || ' ' || coalesce(body, '') FROM mail_queue") {
        (row) throws(DatabaseError) in try row.text(0)
      }
    }
    #expect(stored.count == 1)
    #expect(stored[0].contains("{reset_link}") && !stored[0].contains("canary"))
    _ = try await mailer.sendDue(at: now.advanced(bySeconds: 60))
    let bodies = carrier.asked.withLock { $0.map(\.body) }
    let link = "https://bindery.example/dashboard/reset-password#token=token.canary\n"
    #expect(bodies.count == 2)
    #expect(bodies.allSatisfy { $0.contains(link) && !$0.contains("{") })
    #expect(asked.withLock { $0 } == [person, person])
    #expect(try await rows() == ["sent 2 - 1"])
  }

  @Test("a reset that nobody waits for any more is forgotten, one without auth waits")
  func outdated() async throws {
    let carrier = ScriptedCarrier()
    let away = mailer(carrier) { (_) throws(RPCError) in throw .unreachable(.auth) }
    #expect(try await forget(away, about: person) == .new)
    let first = try await away.sendDue(at: now)
    #expect(first.counts.map(\.count) == [0, 1, 1, 0])
    #expect(try await rows() == ["waiting 1 link_unavailable 0"])
    let report = try await mailer(carrier).sendDue(at: now.advanced(bySeconds: 60))
    #expect(report.counts.map(\.count) == [0, 0, 0, 0])
    #expect(try await rows().isEmpty)
    #expect(carrier.asked.withLock { $0.isEmpty })
  }

  @Test("when the carrier is not there, the rest of the queue waits untouched")
  func away() async throws {
    let carrier = ScriptedCarrier([MailFailure?](repeating: .unreachable, count: 9))
    let mailer = mailer(carrier)
    for number in 0..<6 { _ = try await queue(mailer, "o\(number)") }
    _ = try await mailer.sendDue(at: now)
    #expect(carrier.asked.withLock { $0.count } == 3)
    #expect(try await rows().filter { $0 == "waiting 0 - 0" }.count == 3)
  }
}

/// Answers a request by a script.
private final class ScriptedFetch: Fetching {
  let asked = Mutex<[ClientRequest]>([])
  let answer: Result<ClientResponse, ClientError>
  init(_ answer: Result<ClientResponse, ClientError>) { self.answer = answer }

  func fetch(
    _ request: ClientRequest, policy: AddressPolicy, deadline: Instant, bodyBytesMax: Int
  ) async throws(ClientError) -> ClientResponse {
    asked.withLock { $0.append(request) }
    return try answer.get()
  }
}

@Suite("SMTP2GO") struct SMTP2GOTests {
  private let mail = QueuedMail(
    id: "00000000-0000-4000-8000-000000000001", kind: "new_user", userID: nil,
    recipient: "a@b.example", subject: "Hé \"you\"",
    body: "One\nTwo\n", createdAt: now, tries: 0)

  private func send(
    _ answer: Result<ClientResponse, ClientError>
  ) async -> (failure: MailFailure?, asked: [ClientRequest]) {
    let fetch = ScriptedFetch(answer)
    var key = Array("api-key-1".utf8)
    let carrier = SMTP2GO(
      url: WebURL("https://api.example/v3/")!, key: SecretSetting(wiping: &key),
      sender: "Bindery <b@c.example>", fetch: fetch)
    var failure: MailFailure?
    do throws(MailFailure) { try await carrier.carry(mail, at: now) } catch { failure = error }
    return (failure, fetch.asked.withLock { $0 })
  }

  private func answer(_ status: Int, _ body: String) -> Result<ClientResponse, ClientError> {
    .success(ClientResponse(status: status, body: Array(body.utf8)))
  }

  @Test("gets one request with the key in its header") func request() async throws {
    let (failure, asked) = await send(answer(200, #"{"data":{"succeeded":1,"failed":0}}"#))
    #expect(failure == nil && asked.count == 1)
    let request = try #require(asked.first)
    #expect(request.target == "/v3/email/send" && request.method == .post)
    let keys = request.fields.filter { $0.name == "x-smtp2go-api-key" }.map(\.value)
    #expect(keys == [Array("api-key-1".utf8)])
    struct Body: Decodable, Equatable {
      let sender: String
      let to: [String]
      let subject: String
      let text: String

      enum CodingKeys: String, CodingKey {
        case sender, to, subject
        case text = "text_body"
      }
    }
    let body = try JSONDecoder().decode(Body.self, from: Data(request.body))
    #expect(
      body
        == Body(
          sender: "Bindery <b@c.example>", to: ["a@b.example"], subject: "Hé \"you\"",
          text: "One\nTwo\n"))
    #expect(!String(decoding: request.body, as: UTF8.self).contains("api-key-1"))
  }

  @Test("says no in many ways") func refusals() async {
    let cases: [(Result<ClientResponse, ClientError>, MailFailure)] = [
      (.failure(.timeout), .unreachable), (.failure(.brokenAnswer), .unreachable),
      (answer(401, "{}"), .refused(status: 401)), (answer(302, ""), .refused(status: 302)),
      (answer(500, "oops"), .refused(status: 500)),
      (answer(200, #"{"data":{"succeeded":0,"failed":1}}"#), .refused(status: 200)),
      (answer(200, "<html>"), .unclear), (answer(200, "{}"), .unclear),
      (answer(200, #"{"data":{"succeeded":1},"data":{"succeeded":1}}"#), .unclear),
    ]
    for (answer, expected) in cases {
      let failure = await send(answer).failure
      #expect(failure == expected)
    }
  }
}

@Suite("Outbox") struct OutboxTests {
  private let home = TestFolder("outbox")
  private let mail = QueuedMail(
    id: "00000000-0000-4000-8000-000000000001", kind: "new_user", userID: nil,
    recipient: "a@b.example", subject: "Hello",
    body: "One\nTwo\n", createdAt: now, tries: 0)

  @Test("gets a file for the owner alone, the same one when a mail comes twice")
  func file() async throws {
    let outbox = Outbox(folder: home.path, sender: "Bindery <b@c.example>", host: "c.example")
    try await outbox.carry(mail, at: UnixTime(seconds: 1_795_266_310))
    try await outbox.carry(mail, at: UnixTime(seconds: 1_795_266_310))
    #expect(try FileManager.default.contentsOfDirectory(atPath: home.path) == ["\(mail.id).eml"])
    let path = "\(home.path)/\(mail.id).eml"
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    let text = String(
      decoding: try #require(FileManager.default.contents(atPath: path)), as: UTF8.self)
    let expected = [
      "Date: Sat, 21 Nov 2026 13:05:10 +0000", "From: Bindery <b@c.example>", "To: a@b.example",
      "Subject: Hello", "Message-ID: <\(mail.id)@c.example>", "Auto-Submitted: auto-generated",
      "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
      "Content-Transfer-Encoding: 8bit", "", "One", "Two", "",
    ]
    #expect(text.utf8.elementsEqual(expected.joined(separator: "\r\n").utf8))
  }

  @Test("that can not be written to is an error of its own") func away() async {
    let outbox = Outbox(folder: "\(home.path)/nowhere", sender: "b@c.example", host: "c.example")
    await #expect(throws: MailFailure.disk(Errno(code: ENOENT))) {
      try await outbox.carry(mail, at: now)
    }
  }

  @Test("text that is not ASCII is encoded in words of few bytes") func words() {
    #expect(MailMessage.encoded("plain") == "plain")
    #expect(MailMessage.encoded("é") == "=?utf-8?B?w6k=?=")
    let long = MailMessage.encoded(String(repeating: "é", count: 60))
    let lines = long.split(separator: "\r\n")
    #expect(lines.count == 3 && lines.allSatisfy { $0.utf8.count <= 76 })
    #expect(lines.dropFirst().allSatisfy { $0.hasPrefix(" =?utf-8?B?") })
    #expect(
      MailMessage.address("Bindéry <b@c.example>") == "=?utf-8?B?QmluZMOpcnk=?= <b@c.example>")
    #expect(MailMessage.address("Bindery <b@c.example>") == "Bindery <b@c.example>")
    #expect(MailMessage.address("b@c.example") == "b@c.example")
  }
}
