// The page on which a person decides whether a client may use a connection of theirs, and which one.
// It shows what the client can not choose freely: where the answer goes, and who serves its document.

import Accounts
import HTTPServer

/// The consent form.
struct ConsentPage {
  let client: KnownClient
  let redirectHost: String
  let isLoopbackRedirect: Bool
  let serviceName: String
  let resource: String
  let scope: String
  let user: String
  let formToken: String
  let connections: [ConnectionRecord]
  let takesAPIKey: Bool
  let takesOAuth: Bool
  let managedIsOn: Bool
  /// A connection that was just made, and the ticket of its secret.
  var fresh: (connection: ConnectionID, claim: String)?
  var problem: String?

  func response(status: Int = 200) -> Response {
    let problem: HTMLText = self.problem.map { "<p class=\"warning\">\($0)</p>" } ?? ""
    return Page.response(
      status: status, title: "Allow access to \(serviceName)?",
      """
      \(problem)<dl>
      <dt>Program</dt><dd>\(client.name)\(origin)</dd>
      <dt>Your answer goes to</dt><dd>\(redirectHost)</dd>
      <dt>It may</dt><dd>use the tools of the connection that you choose (scope \(scope))</dd>
      <dt>At</dt><dd>\(resource)</dd>
      <dt>Signed in as</dt><dd>\(user)</dd>
      </dl>
      \(warning)
      <form method="post">
      <input type="hidden" name="form_token" value="\(formToken)">
      \(freshField)<fieldset><legend>Connection</legend>
      \(choices)
      </fieldset>
      \(secretField)\(connectFields)
      <button type="submit" name="decision" value="allow">Allow</button>
      <button type="submit" name="decision" value="deny">Deny</button>
      </form>
      """, formsStay: false)
  }

  private var origin: HTMLText {
    switch client.origin {
    case .fixed: ""
    case .registered: " <small>(its own words; it registered itself)</small>"
    case .document(let host): " <small>(its own words, from \(host))</small>"
    }
  }

  private var warning: HTMLText {
    guard isLoopbackRedirect else { return "" }
    return """
      <p class="warning">The answer goes to a program on the computer of this browser. Any program \
      there can ask like this: go on only if you started it just now.</p>
      """
  }

  private var freshField: HTMLText {
    fresh.map { "<input type=\"hidden\" name=\"claim\" value=\"\($0.claim)\">\n" } ?? ""
  }

  private var choices: HTMLText {
    let chosen = fresh?.connection ?? connections.first?.id
    var all = connections.map { connection -> HTMLText in
      let isChosen = connection.id == chosen
      let checked: HTMLText = isChosen ? " checked" : ""
      let kind = connection.keyStorageMode == .managed ? "managed" : "zero-knowledge"
      return """
        <label><input type="radio" name="connection" value="\(connection.id.text)"\(checked)> \
        \(connection.label) <small>\(kind)</small></label>

        """
    }
    if takesAPIKey || takesOAuth {
      let checked: HTMLText = connections.isEmpty ? " checked" : ""
      all.append(
        """
        <label><input type="radio" name="connection" value="new"\(checked)> \
        Connect \(serviceName) now</label>
        """)
    }
    return HTMLText(all)
  }

  /// Nothing that is stored opens a zero-knowledge connection: its owner brings what does.
  private var secretField: HTMLText {
    let needsSecret = connections.contains {
      $0.keyStorageMode == .zeroKnowledge && $0.id != fresh?.connection
    }
    guard needsSecret else { return "" }
    return """
      <label>Secret URL or API key of a zero-knowledge connection
      <input type="password" name="credential" autocomplete="off"></label>

      """
  }

  private var connectFields: HTMLText {
    var fields: [HTMLText] = []
    if takesAPIKey {
      let hint: HTMLText = takesOAuth ? " (empty: sign in there instead)" : ""
      fields.append(
        """
        <label>To connect now: API key of \(serviceName)\(hint)
        <input type="password" name="api_key" autocomplete="off"></label>

        """)
    }
    if managedIsOn && (takesAPIKey || takesOAuth) {
      fields.append(
        """
        <label><input type="checkbox" name="key_storage_mode" value="managed"> To connect now: \
        let this installation renew its tokens in the background (managed)</label>

        """)
    }
    return HTMLText(fields)
  }
}
