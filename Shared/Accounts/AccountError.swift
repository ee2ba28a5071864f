// Why an account, session, connection or credential operation did not happen. What belongs to
// someone else is `notFound`, so that no answer tells whether it exists; but for a claim, whose
// token tells that already.

import Database

/// The refusals of the stores.
public enum AccountError: Error, Equatable, Sendable {
  /// No such record, or not yours.
  case notFound
  /// The claim is somebody else's.
  case notOwner
  /// Somebody signs in with this e-mail address already.
  case emailTaken
  /// The installation admits no further people.
  case usersMaxReached
  /// The person has as many of these as one may have.
  case tooMany
  /// The person's plan does not allow it.
  case planForbids(PlanRefusal)
  /// The master key under which a value was sealed was removed before the value was stored.
  case masterKeyGone
  /// A stored value is not what this code writes.
  case recordMalformed
  /// The database itself failed.
  case database(DatabaseError)
}

extension AccountError: DatabaseErrorConvertible {
  public init(_ error: DatabaseError) { self = .database(error) }
}
