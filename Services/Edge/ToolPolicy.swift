// Decides whether a credential that is limited to certain tools may send a message. What the body
// says counts, not the headers that repeat it: a client may write anything there. Only for such
// credentials is a body looked into; it is read strictly, judged, and forgotten.

import FoundationEssentials
import StrictJSON

enum ToolPolicy {
  private struct Message: Decodable {
    struct Parameters: Decodable { let name: String? }
    let method: String?
    let params: Parameters?
  }

  private struct Method: Decodable { let method: String? }

  /// Whether `body`, one JSON-RPC message, calls no tool or one of `tools`. A batch, a text with two
  /// meanings, or one that is no message is not permitted.
  static func permits(_ body: [UInt8], tools: [String]) -> Bool {
    guard isWellFormed(body) else { return false }
    let decoder = JSONDecoder()
    guard let kind = try? decoder.decode(Method.self, from: Data(body)) else { return false }
    guard kind.method == "tools/call" else { return true }
    guard let message = try? decoder.decode(Message.self, from: Data(body)),
      let name = message.params?.name
    else { return false }
    return tools.contains { $0.utf8.elementsEqual(name.utf8) }
  }
}
