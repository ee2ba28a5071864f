// What goes in and out of the calls about mails and jobs, and what `status` tells of a job. Names,
// callers and deadlines are in Calls.swift.

/// How a job of the scheduler fares. Times are Unix seconds.
public struct JobStatus: Codable, Sendable, Equatable {
  public var name: String
  public var running: Bool
  /// How the last run ended: done, findings, failed; nil before the first.
  public var outcome: String?
  public var finishedAt: Int64?
  public var succeededAt: Int64?
  public var nextAt: Int64
  /// What the last run counted.
  public var counts: [String: Int64]

  public init(
    name: String, running: Bool, outcome: String?, finishedAt: Int64?, succeededAt: Int64?,
    nextAt: Int64, counts: [String: Int64]
  ) {
    self.name = name
    self.running = running
    self.outcome = outcome
    self.finishedAt = finishedAt
    self.succeededAt = succeededAt
    self.nextAt = nextAt
    self.counts = counts
  }
}

// MARK: mail

/// Put a mail into the queue. The text is the scheduler's own; what goes into it are named values.
public enum MailCall: Call {
  public static let name = CallName.mail

  /// Whom to tell what.
  public struct Request: Codable, Sendable {
    public var kind: MailKind
    public var recipient: String
    /// Names the occasion: a second mail of the same name is not queued.
    public var occasion: String
    /// What the text leaves open, by name. Never a secret of a connection.
    public var values: [String: String]
    /// Whose account it is about; the mail goes with the account.
    public var userID: String?

    public init(
      kind: MailKind, recipient: String, occasion: String, values: [String: String],
      userID: String? = nil
    ) {
      self.userID = userID
      self.kind = kind
      self.recipient = recipient
      self.occasion = occasion
      self.values = values
    }
  }

  /// What was done.
  public struct Response: Codable, Sendable, Equatable {
    /// False when this occasion has its mail already.
    public var queued: Bool
    public init(queued: Bool) { self.queued = queued }
  }
}

/// The mails there are.
public enum MailKind: String, Codable, Sendable, CaseIterable {
  /// To the operator: somebody registered.
  case newUser = "new_user"
  /// To a person who forgot their password: a link, made when the mail is sent.
  case passwordReset = "password_reset"
  /// To a person: their password was changed by such a link.
  case passwordChanged = "password_changed"
  /// To a person: their connection works for some days more.
  case connectionEnding = "connection_ending"
  /// The same for a connection that only its owner can keep alive.
  case connectionEndingUnlessUsed = "connection_ending_unless_used"
  /// To a person: the service wants their consent anew.
  case reauthorizationNeeded = "reauthorization_needed"
  /// To a person: consents should be renewed once a year.
  case yearlyReminder = "yearly_reminder"
  /// To a person: they pay from now on. Value: `connections`, in words: "3 connections".
  case subscriptionConfirmed = "subscription_confirmed"
  /// To a person: a payment failed. Value: `date`, the day from which on nothing works any more.
  case paymentFailed = "payment_failed"
  /// To a person: what they pay for was cancelled. Value: `date`, the day on which it ends.
  case accessEnds = "access_ends"
}

// MARK: reset_token

/// Make the token of a link by which a person sets a new password, just before it is mailed: so it
/// is written nowhere.
public enum ResetTokenCall: Call {
  public static let name = CallName.resetToken

  /// For whom.
  public struct Request: Codable, Sendable {
    public var userID: String
    public init(userID: String) { self.userID = userID }
  }

  /// The token.
  public struct Response: Codable, Sendable, Equatable {
    /// Nil when the person did not ask within the last hour, or is gone.
    public var token: String?
    public init(token: String?) { self.token = token }
  }
}

// MARK: tidy

/// Delete what has ended among the records of auth: sign-ins, authorizations under way, claims,
/// settled revocations; and revoke what was suspended for too long.
public enum TidyCall: Call {
  public static let name = CallName.tidy

  /// Nothing is asked in particular.
  public struct Request: Codable, Sendable {
    public init() {}
  }

  /// What was done.
  public struct Response: Codable, Sendable, Equatable {
    public var sessions: Int64
    public var revocations: Int64
    /// Connections that had been suspended for too long.
    public var ended: Int64

    public init(sessions: Int64, revocations: Int64, ended: Int64) {
      self.sessions = sessions
      self.revocations = revocations
      self.ended = ended
    }
  }
}
