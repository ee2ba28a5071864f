// The page that asks a person who they are, on the way from an MCP client. It names the client in its
// own words, so that nobody types a password for a program that they did not start.

import HTTPServer

/// The sign-in form.
struct SignInPage {
  let client: String
  let service: String?
  /// Proof that the form was shown to this browser.
  let formToken: String
  let isOn: Bool
  /// The page's own address, to come back to it over a link of ours.
  let here: String
  /// The dashboard's page that signs people of Clerk in and sends them back here; nil without Clerk.
  let dashboard: String?
  /// Why it is shown again.
  var problem: String?

  func response(status: Int) -> Response {
    let problem: HTMLText = self.problem.map { "<p class=\"warning\">\($0)</p>" } ?? ""
    let service: HTMLText = self.service.map { " to use <strong>\($0)</strong>" } ?? ""
    return Page.response(
      status: status, title: "Sign in",
      """
      \(problem)<p><strong>\(client)</strong> asks\(service) in your name.</p>
      \(elsewhere)\(form)<p><small>Signed in here already? <a href="\(here)">Go on</a>.</small></p>
      """)
  }

  private var elsewhere: HTMLText {
    if let dashboard { return "<p><a href=\"\(dashboard)\">Continue in the dashboard</a></p>\n" }
    return isOn ? "" : "<p>Sign in at the dashboard first, then come back.</p>\n"
  }

  private var form: HTMLText {
    guard isOn else { return "" }
    return """
      <form method="post">
      <input type="hidden" name="form_token" value="\(formToken)">
      <label>E-mail address <input type="email" name="email" autocomplete="username" required>
      </label>
      <label>Password <input type="password" name="password" autocomplete="current-password"
      required></label>
      <button type="submit">Sign in</button>
      </form>

      """
  }
}
