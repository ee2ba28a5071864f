// Believes an access token of our authorization server, or not: the signature by a public key that auth
// published, who issued it, for which resource, how long it lives (RFC 9068 section 4). Asked when a
// token is not remembered; what it opens is then found as for any other credential, and only by its
// exact text.

import Accounts
import Bytes
import Clocks
import HTTPCodec
import JOSE

/// Verifies access tokens on one loop.
struct AccessTokenCheck {
  private static let bearer = Array("bearer ".utf8)
  /// How a JWS header begins: `{"` in base64url.
  private static let start = Array("eyJ".utf8)

  let stores: EdgeStores
  let issuer: String

  /// The access token in Authorization; nil when something else is shown.
  static func token(
    _ call: MCPCall, _ head: RequestHead, in bytes: UnsafeRawBufferPointer
  ) -> UnsafeRawBufferPointer? {
    guard call.credential == nil, let value = head.value(.authorization, in: bytes),
      value.count > 10, value[7...].starts(with: start),
      equalsIgnoringCase(.init(rebasing: value[..<7]), bearer)
    else { return nil }
    return .init(rebasing: value[7...])
  }

  /// Returns when `token` is one of ours for `service`.
  /// - Throws: `credentialRefused`, whatever is wrong; `dependencyDown`.
  func admit(_ token: UnsafeRawBufferPointer, for service: UpstreamService) throws(Refusal) {
    guard token.count <= CompactJWS.textBytesMax else { throw .credentialRefused }
    let text = String(decoding: token, as: UTF8.self)
    let resource = "\(issuer)/mcp/" + String(decoding: service.id, as: UTF8.self)
    let lookup: EdgeLookup
    do throws(AccountError) { lookup = try stores.lookup() } catch { throw .dependencyDown }
    var isDown = false
    do throws(JOSEError) {
      let claims = try CompactJWS.verify(
        text, type: .access, expectation: .init(issuer: issuer, audience: resource), now: .now
      ) { id in
        do throws(AccountError) { return try lookup.signingKey(id) } catch {
          isDown = true
          return nil
        }
      }
      guard claims.access?.scope.utf8.elementsEqual("mcp".utf8) == true else {
        throw JOSEError.typeRefused
      }
    } catch {
      guard isDown else { throw .credentialRefused }
      stores.forget()
      throw .dependencyDown
    }
  }
}
