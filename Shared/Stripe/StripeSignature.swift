// Did Stripe send these bytes, and lately? Every v1 of the header is held against every secret
// (two while one is rolled), over the raw body, in constant time. Pure: the time comes in as an
// argument. Work is one HMAC per secret and one comparison per v1 and secret, whatever the
// header says.
//
// Source: docs.stripe.com/webhooks#verify-manually.

import Bytes
import COpenSSL
import Clocks
import Configuration

/// One signing secret of a webhook endpoint, as Stripe shows it (whsec_…).
public struct WebhookSecret: Sendable {
  private let secret: SecretSetting

  /// The secret that a setting holds.
  public init(_ secret: SecretSetting) { self.secret = secret }

  /// HMAC-SHA256 of the bytes under this secret.
  public func authenticate(_ message: UnsafeRawBufferPointer) -> [UInt8] {
    secret.withBytes { key in
      [UInt8](unsafeUninitializedCapacity: 32) { code, count in
        var length: UInt32 = 0
        let done = HMAC(
          EVP_sha256(), key.baseAddress, Int32(key.count),
          message.bindMemory(to: UInt8.self).baseAddress, message.count, code.baseAddress, &length)
        precondition(done != nil && length == 32, "HMAC-SHA256 failed")
        count = 32
      }
    }
  }
}

/// Why a delivery is not believed. Stripe sees 400 for each; the log and a counter see which.
public enum SignatureError: Error, Equatable, Sendable {
  case headerMissing
  case headerRepeated
  case timestampMissing
  case timestampRepeated
  case timestampMalformed
  case signatureMissing
  case noMatch
  /// Signed truly, but too long ago or ahead of us: a replay, or one of the clocks is wrong.
  case outsideTolerance(seconds: Int64)

  /// The case's name, for logs and metrics.
  public var label: StaticString {
    switch self {
    case .headerMissing: "header_missing"
    case .headerRepeated: "header_repeated"
    case .timestampMissing: "timestamp_missing"
    case .timestampRepeated: "timestamp_repeated"
    case .timestampMalformed: "timestamp_malformed"
    case .signatureMissing: "signature_missing"
    case .noMatch: "no_match"
    case .outsideTolerance: "outside_tolerance"
    }
  }
}

/// The header `Stripe-Signature`.
public enum StripeSignature {
  /// How far the clocks may differ, and how long a delivery may be under way.
  public static let toleranceSeconds: Int64 = 300

  /// Admits a delivery or says why not.
  /// - Parameters:
  ///   - headers: every value of `Stripe-Signature`, in order.
  ///   - body: the bytes as they came.
  public static func admit(
    headers: [[UInt8]], body: [UInt8], secrets: [WebhookSecret], now: UnixTime
  ) throws(SignatureError) {
    guard let header = headers.first else { throw .headerMissing }
    guard headers.count == 1 else { throw .headerRepeated }
    let fields = try parse(header)

    var message = fields.timestampText
    message.reserveCapacity(message.count + 1 + body.count)
    message.append(UInt8(ascii: "."))
    message.append(contentsOf: body)
    var matches = false
    message.withUnsafeBytes { message in
      for secret in secrets {
        let wanted = secret.authenticate(message)
        // No early exit: which v1 or which secret matched is nobody's business.
        for signature in fields.signatures where constantTimeEqual(signature, wanted) {
          matches = true
        }
      }
    }
    guard matches else { throw .noMatch }
    let (age, overflow) = now.seconds.subtractingReportingOverflow(fields.timestamp)
    guard !overflow, age.magnitude <= UInt64(toleranceSeconds) else {
      throw .outsideTolerance(seconds: overflow ? .max : age)
    }
  }

  /// What the header holds.
  public struct Fields: Equatable {
    public var timestampText: [UInt8]
    public var timestamp: Int64
    public var signatures: [[UInt8]]
  }

  /// Cuts `t=…,v1=…,v1=…`. Schemes other than v1 are passed over, as are v1 that are no
  /// SHA-256; blanks are part of a value here, so they make it malformed.
  public static func parse(_ header: [UInt8]) throws(SignatureError) -> Fields {
    var timestampText: ArraySlice<UInt8>?
    var signatures: [[UInt8]] = []
    var sawSignature = false
    for item in header.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      guard let equals = item.firstIndex(of: UInt8(ascii: "=")) else { continue }
      let value = item[item.index(after: equals)...]
      if item[..<equals].elementsEqual("t".utf8) {
        guard timestampText == nil else { throw .timestampRepeated }
        timestampText = value
      } else if item[..<equals].elementsEqual("v1".utf8) {
        sawSignature = true
        if value.count == 64, let code = digest(value) { signatures.append(code) }
      }
    }
    guard let timestampText else { throw .timestampMissing }
    guard let timestamp = strictInteger(timestampText) else { throw .timestampMalformed }
    guard sawSignature else { throw .signatureMissing }
    return Fields(
      timestampText: Array(timestampText), timestamp: timestamp, signatures: signatures)
  }

  /// Digits alone, no sign, no leading zero, within Int64.
  private static func strictInteger(_ digits: ArraySlice<UInt8>) -> Int64? {
    guard let first = digits.first, digits.count == 1 || first != UInt8(ascii: "0") else {
      return nil
    }
    var value: Int64 = 0
    for digit in digits {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      let (product, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, overSum) = product.addingReportingOverflow(Int64(digit - UInt8(ascii: "0")))
      guard !over, !overSum else { return nil }
      value = sum
    }
    return value
  }

  private static func digest(_ text: ArraySlice<UInt8>) -> [UInt8]? {
    var code: [UInt8] = []
    code.reserveCapacity(text.count / 2)
    var high: UInt8?
    for character in text {
      guard let digit = Hex.value(of: character) else { return nil }
      if let upper = high {
        code.append(upper << 4 | digit)
        high = nil
      } else {
        high = digit
      }
    }
    return code
  }
}
