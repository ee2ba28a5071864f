// The words of every mail, in one place. `{name}` is filled in; everything a template names must be
// given and nothing else may be. No mail carries a credential, a token or a key: what a person must do
// is done in the dashboard, behind their sign-in.

import RPC

/// A mail with its gaps.
struct MailTemplate: Sendable {
  let subject: String
  let body: String

  /// The template of a kind.
  static func of(_ kind: MailKind) -> MailTemplate {
    switch kind {
    case .newUser:
      MailTemplate(
        subject: "New account at {host}",
        body: """
          {email} has registered at {host}.

          """)
    case .passwordReset:
      MailTemplate(
        subject: "A new password for {host}",
        body: """
          Hello,

          somebody, probably you, asked for a new password for your account at {host}. Set it
          here within an hour of asking; the link works once:
          {reset_link}

          If it was not you, do nothing: your password stays as it is.

          """ + why)
    case .passwordChanged:
      MailTemplate(
        subject: "Your password at {host} was changed",
        body: """
          Hello,

          the password of your account at {host} was set anew with a link that was mailed to you,
          and everybody who was signed in is signed out. If it was not you, ask for a new link at
          once and look after your mailbox:
          {dashboard}

          """ + why)
    case .connectionEnding:
      MailTemplate(
        subject: "Your {service} connection ends on {date}",
        body: """
          Hello,

          your connection "{label}" to {service} works until {date}. Then {service} wants
          your consent again, and programs that use the connection will be refused.

          To keep it working, re-authorize it before that day:
          {dashboard}

          """ + why)
    case .connectionEndingUnlessUsed:
      MailTemplate(
        subject: "Your {service} connection ends on {date} unless it is used",
        body: """
          Hello,

          your connection "{label}" to {service} ends on {date}. Only its secret URL or API key
          can open it, so nobody can renew it for you in the background.

          Use it once before that day, or reconnect it here:
          {dashboard}

          """ + why)
    case .reauthorizationNeeded:
      MailTemplate(
        subject: "Your {service} connection needs you",
        body: """
          Hello,

          {service} no longer accepts the consent behind your connection "{label}". Programs
          that use it are refused until you re-authorize it here:
          {dashboard}

          """ + why)
    case .yearlyReminder:
      MailTemplate(
        subject: "Please renew your {service} connection",
        body: """
          Hello,

          you connected "{label}" to {service} on {date}, almost a year ago. Consents should be
          renewed once a year. Please re-authorize the connection, or delete it if you do not
          need it any more:
          {dashboard}

          """ + why)
    case .subscriptionConfirmed, .paymentFailed, .accessEnds: billing(kind)
    }
  }

  static let why = """
    You get this mail because you have an account at {host}.

    """

  /// The gap that is filled when the mail is sent: what stands there must not lie in the queue.
  static let late = "reset_link"

  /// The names of the gaps.
  var gaps: Set<String> {
    var gaps: Set<String> = []
    for text in [subject, body] {
      for piece in text.split(separator: "{").dropFirst() {
        gaps.insert(String(piece.prefix { $0 != "}" }))
      }
      if text.hasPrefix("{") {
        gaps.insert(String(text.dropFirst().prefix { $0 != "}" }))
      }
    }
    return gaps
  }

  /// The mail with `values` in its gaps; nil when they are not exactly the gaps' names, or one of
  /// them could be more than a part of a line.
  func filled(with values: [String: String]) -> (subject: String, body: String)? {
    guard Set(values.keys) == gaps, values.values.allSatisfy(MailRules.admits(value:)) else {
      return nil
    }
    let filled = (subject: Self.fill(subject, values), body: Self.fill(body, values))
    return MailRules.admits(subject: filled.subject) ? filled : nil
  }

  /// The body of a queued mail whose only gap left is the late one.
  static func complete(_ body: String, link: String) -> String {
    fill(body, [late: link])
  }

  /// One pass, so that a value that looks like a gap stays what it is.
  private static func fill(_ text: String, _ values: [String: String]) -> String {
    var result = ""
    var rest = text[...]
    while let open = rest.firstIndex(of: "{") {
      result += rest[..<open]
      let inside = rest[rest.index(after: open)...]
      guard let close = inside.firstIndex(of: "}") else { break }
      result += values[String(inside[..<close])] ?? ""
      rest = inside[inside.index(after: close)...]
    }
    return result + rest
  }
}
