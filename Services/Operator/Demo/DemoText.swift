// The two texts of the demo: the catalogue with its one service, and the commands that a person
// copies. Pure; a test reads the first with the strict reader and runs the second's shapes.

import Posix

/// Texts of the demo.
enum DemoText {
  /// A PROVIDERS_FILE with the demo service at `address`.
  static func catalogue(address: SocketAddress) -> String {
    let instructions = "Use the key that bindery demo printed."
    return JSONValue.object([
      (
        "services",
        .array([
          .object([
            ("id", .text("demo")), ("name", .text("Demo")),
            ("mcp_url", .text("http://\(address)/mcp")), ("transport", .text("streamable-http")),
            (
              "api_key",
              .object([
                ("header", .text("Authorization")), ("format", .text("Bearer {key}")),
                ("instructions", .text(instructions)),
                ("validate", .object([("method", .text("mcp"))])),
              ])
            ),
          ])
        ])
      )
    ]).text + "\n"
  }

  /// The commands that make an account, connect the demo and call it; `name` makes the account new.
  static func commands(origin: String, key: String, name: String) -> String {
    let json = "-H 'content-type: application/json'"
    func member(_ name: String) -> String {
      "sed -n 's/.*\"\(name)\" *: *\"\\([^\"]*\\)\".*/\\1/p' | tr -d '\\\\'"
    }
    let meta =
      "{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
      + "\"io.modelcontextprotocol/clientCapabilities\":{},\"progressToken\":1}"
    func call(_ tool: String, _ arguments: String) -> String {
      """
      curl -sN "$URL" \(json) \\
        -H 'accept: application/json, text/event-stream' -H 'mcp-protocol-version: 2026-07-28' \\
        -H 'mcp-method: tools/call' -H 'mcp-name: \(tool)' \\
        -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\(tool)",
             "arguments":\(arguments),
             "_meta":\(meta)}}'
      """
    }
    return """

      # 1. make an account
      TOKEN=$(curl -s \(origin)/api/auth/register \(json) \\
        -d '{"email":"demo-\(name)@example.com","password":"a demo of bindery"}' |
        \(member("access_token")))

      # 2. connect the demo service with its API key: the answer holds the secret URL
      URL=$(curl -s \(origin)/api/connections/demo/api-key \\
        -H "authorization: Bearer $TOKEN" \(json) -d '{"api_key":"\(key)"}' |
        \(member("secret_url"))); echo "$URL"

      # 3. call a tool through the edge
      \(call("echo", "{\"text\":\"hello\"}"))

      # and one that takes its time
      \(call("slow", "{\"steps\":5}"))


      """
  }
}
