// Mails as files, for an installation that sends none: one RFC 5322 message each, readable by the
// owner alone. A file appears whole or not at all, and a mail that is written twice is one file,
// because its name is the mail's id.

import Bytes
import Clocks
import EventLoop
import FoundationEssentials
import Glibc
import HTTPCodec
import Posix

/// The folder `<data>/outbox`.
struct Outbox: MailCarrier {
  let folder: String
  let sender: String
  /// The host in message ids.
  let host: String
  private let threads = WorkerPool(threads: 1, queueMax: 8)

  init(folder: String, sender: String, host: String) {
    self.folder = folder
    self.sender = sender
    self.host = host
  }

  func carry(_ mail: QueuedMail, at now: UnixTime) async throws(MailFailure) {
    let bytes = MailMessage(mail, from: sender, host: host, at: now).bytes
    let (folder, id) = (folder, mail.id)
    let result: Result<Void, MailFailure>
    do throws(WorkerPoolFull) {
      result = try await threads.run {
        do throws(Errno) {
          try Self.write(bytes, id: id, in: folder)
          return .success(())
        } catch { return .failure(.disk(error)) }
      }
    } catch { throw .disk(Errno(code: EAGAIN)) }
    try result.get()
  }

  /// Writes beside, then renames; file and folder are on disk when it returns.
  static func write(_ bytes: [UInt8], id: String, in folder: String) throws(Errno) {
    let (part, whole) = ("\(folder)/.\(id).part", "\(folder)/\(id).eml")
    let number = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard number >= 0 else { throw .last }
    let file = Descriptor(owning: number)
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(file.number, $0.baseAddress, $0.count) }
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { throw .last }
    }
    guard fsync(file.number) == 0, rename(part, whole) == 0 else { throw .last }
    let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw .last }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw .last }
  }
}

/// A mail as RFC 5322 text.
struct MailMessage {
  let bytes: [UInt8]

  init(_ mail: QueuedMail, from sender: String, host: String, at now: UnixTime) {
    let fields = [
      ("Date", Self.date(now)), ("From", Self.address(sender)), ("To", mail.recipient),
      ("Subject", Self.encoded(mail.subject)), ("Message-ID", "<\(mail.id)@\(host)>"),
      ("Auto-Submitted", "auto-generated"), ("MIME-Version", "1.0"),
      ("Content-Type", "text/plain; charset=utf-8"), ("Content-Transfer-Encoding", "8bit"),
    ]
    let head = fields.map { "\($0.0): \($0.1)\r\n" }.joined()
    let body = mail.body.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
      .map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\r\n")
    bytes = Array((head + "\r\n" + body).utf8)
  }

  /// `Sat, 21 Nov 2026 13:05:10 +0000`
  static func date(_ time: UnixTime) -> String {
    let buffer = Buffer(capacity: 64)
    buffer.append(httpDate: time.seconds)
    return String(decoding: buffer.readable, as: UTF8.self).dropLast(3) + "+0000"
  }

  /// `21 Nov 2026`
  static func day(_ time: UnixTime) -> String {
    String(date(time).dropFirst(5).prefix(11))
  }

  /// A name that is not ASCII is encoded; the address behind it never is.
  static func address(_ text: String) -> String {
    guard let bracket = text.lastIndex(of: "<") else { return text }
    var name = text[..<bracket]
    while name.last == " " { name.removeLast() }
    return name.isEmpty ? text : "\(encoded(String(name))) \(text[bracket...])"
  }

  /// Text of a header: as it is when it is ASCII, else in encoded words (RFC 2047).
  static func encoded(_ text: String) -> String {
    guard !isPlain(text[...]) else { return text }
    var words: [[UInt8]] = [[]]
    for scalar in text.unicodeScalars {
      let bytes = Array(String(scalar).utf8)
      if words[words.count - 1].count + bytes.count > 42 { words.append([]) }
      words[words.count - 1] += bytes
    }
    return words.map { "=?utf-8?B?\(Data($0).base64EncodedString())?=" }.joined(separator: "\r\n ")
  }

  private static func isPlain(_ text: Substring) -> Bool {
    text.utf8.allSatisfy { (0x20...0x7e).contains($0) }
  }
}
