// What clients say of themselves: defaults, what is refused and with which error, and what a document
// must say that a registration need not.

import OAuth
import Testing

@Suite("Client metadata") struct ClientMetadataTests {
  private func registration(_ text: String) -> Result<ClientMetadata, ClientMetadata.Fault> {
    Result { () throws(ClientMetadata.Fault) in
      try ClientMetadata(registration: Array(text.utf8))
    }
  }

  @Test("fills in what RFC 7591 says") func defaults() throws {
    let read = try registration(#"{"redirect_uris":["https://c.example/cb"],"x":{}}"#).get()
    #expect(read.authentication == .basic && read.grantTypes == ["authorization_code"])
    #expect(read.name == nil && read.clientID == nil && !read.refreshes)
    let open = try registration(
      #"{"redirect_uris":["http://[::1]/"],"token_endpoint_auth_method":"none","#
        + #""grant_types":["refresh_token","authorization_code"]}"#
    ).get()
    #expect(open.authentication == .none && open.refreshes)
  }

  static let refused: [(String, ClientMetadata.Fault)] = [
    ("", .metadata), ("[]", .metadata),
    (#"{"redirect_uris":["https://c/"],"redirect_uris":[]}"#, .metadata),
    ("{}", .redirectURI), (#"{"redirect_uris":[]}"#, .redirectURI),
    (#"{"redirect_uris":"https://c.example/"}"#, .redirectURI),
    (#"{"redirect_uris":["https://c.example/","http://c.example/"]}"#, .redirectURI),
    (#"{"redirect_uris":["https://c.example/"],"client_name":1}"#, .metadata),
    (#"{"redirect_uris":["https://c.example/"],"grant_types":["implicit"]}"#, .metadata),
    (#"{"redirect_uris":["https://c.example/"],"response_types":["token"]}"#, .metadata),
    (
      #"{"redirect_uris":["https://c.example/"],"token_endpoint_auth_method":"tls_client_auth"}"#,
      .metadata
    ),
    (#"{"redirect_uris":["https://c.example/"],"jwks":{},"jwks_uri":"https://c/"}"#, .metadata),
  ]

  @Test("refuses what is not served", arguments: refused)
  func refuses(text: String, fault: ClientMetadata.Fault) {
    #expect(registration(text) == .failure(fault))
  }

  @Test("a document names its client and has no secret") func document() throws {
    let good =
      #"{"client_id":"https://c.example/x","client_name":"C","redirect_uris":["https://c/"]"#
    let read = try ClientMetadata(document: Array((good + "}").utf8))
    #expect(read.clientID == "https://c.example/x" && read.authentication == .none)
    for more in ["client_secret_basic", "client_secret_post", "private_key_jwt"] {
      let text = good + #","token_endpoint_auth_method":"\#(more)"}"#
      #expect(throws: ClientMetadata.Fault.metadata) {
        try ClientMetadata(document: Array(text.utf8))
      }
    }
    for text in [
      #"{"client_name":"C","redirect_uris":["https://c/"]}"#,
      #"{"client_id":"https://c.example/x","redirect_uris":["https://c/"]}"#,
    ] {
      #expect(throws: ClientMetadata.Fault.metadata) {
        try ClientMetadata(document: Array(text.utf8))
      }
    }
  }
}
