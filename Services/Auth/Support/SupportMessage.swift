// What somebody wrote to the help desk, checked: a form with a file at most. Fields are read in the
// order of the contract, so that the first thing that is wrong is what the person is told.

import Accounts
import HTTPCodec
import HTTPServer
import ServiceRuntime

/// One message to the help desk.
struct SupportMessage: Sendable {
  /// Bytes of an attachment.
  static let fileBytesMax = 10 * 1024 * 1024
  /// Bytes of the whole form.
  static let formBytesMax = fileBytesMax + 64 * 1024
  static let descriptionScalarsMax = 10_000

  /// A file that came along.
  struct Attachment: Sendable, Equatable {
    let name: String
    let content: [UInt8]
  }

  let email: EmailAddress
  /// Who writes, as they call themselves.
  let name: String?
  let topic: String
  let description: String
  let attachment: Attachment?

  /// The form of a request.
  static func form(of request: Request) throws(Refusal) -> MultipartForm {
    guard request.fieldCount("content-type") == 1,
      let boundary = request.field("content-type").flatMap({
        MultipartForm.boundary(inContentType: $0)
      })
    else { throw .formExpected }
    do throws(MultipartForm.Failure) {
      return try MultipartForm(parsing: request.body, boundary: boundary)
    } catch { throw .bodyMalformed }
  }

  /// The ticket that `form` describes.
  init(_ form: MultipartForm) throws(Refusal) {
    guard let email = form.text("email").flatMap({ EmailAddress($0) }) else {
      throw .bodyInvalid(.email)
    }
    self.email = email
    let name = form.text("username") ?? ""
    self.name = name.isEmpty ? nil : PlainText.admit(name)
    guard name.isEmpty || self.name != nil else { throw .bodyInvalid(.username) }
    guard let topic = form.text("topic").flatMap({ PlainText.admit($0) }) else {
      throw .bodyInvalid(.topic)
    }
    self.topic = topic
    guard let description = form.text("description"), Self.admits(description) else {
      throw .bodyInvalid(.description)
    }
    self.description = description
    attachment = try Self.attachment(in: form)
  }

  private static func attachment(in form: MultipartForm) throws(Refusal) -> Attachment? {
    let files = form.parts.filter { $0.fileName != nil || $0.name.utf8.elementsEqual("file".utf8) }
    guard let file = files.first else { return nil }
    guard files.count == 1, file.name.utf8.elementsEqual("file".utf8),
      let fileName = file.fileName, file.content.count <= fileBytesMax
    else { throw .bodyInvalid(.file) }
    // Browsers send an empty part for a file that nobody chose.
    if fileName.isEmpty && file.content.isEmpty { return nil }
    return Attachment(name: plainName(fileName), content: file.content)
  }

  /// Text with lines; nothing that does not show.
  private static func admits(_ text: String) -> Bool {
    let scalars = text.unicodeScalars
    guard scalars.count <= descriptionScalarsMax else { return false }
    let isBlank = scalars.allSatisfy { $0.properties.isWhitespace }
    let isReadable = scalars.allSatisfy { scalar in
      scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value)
        || [0x09, 0x0a, 0x0d].contains(scalar.value)
    }
    return !isBlank && isReadable
  }

  /// A name for the upload: letters, digits, `.`, `-`, `_` stay, everything else becomes `_`.
  static func plainName(_ name: String) -> String {
    let bytes = name.utf8.suffix(100).map { byte -> UInt8 in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "."), UInt8(ascii: "-"): byte
      default: UInt8(ascii: "_")
      }
    }
    return bytes.isEmpty ? "file" : String(decoding: bytes, as: UTF8.self)
  }

  /// What the help desk shows: HTML, in which the text means nothing but itself.
  var html: String {
    let text = "\(description)\n\n---\nApp version: \(Build.version)"
    var html = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": html += "&amp;"
      case "<": html += "&lt;"
      case ">": html += "&gt;"
      case "\"": html += "&quot;"
      case "\r": continue
      case "\n": html += "<br>"
      default: html.unicodeScalars.append(scalar)
      }
    }
    return html
  }
}
