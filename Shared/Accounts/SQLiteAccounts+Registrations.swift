// The statements about our clients at authorization servers: one for each issuer and redirect URI.
// Their secrets come and go sealed.

import Clocks
import Database
import Vault

extension SQLiteAccounts: RegistrationStore {
  public func registration(
    at place: RegistrationPlace
  ) async throws(AccountError) -> StoredRegistration? {
    try await snapshot { (database) throws(AccountError) in
      try database.one(
        """
        SELECT client_id, client_authentication, secret, secret_fingerprint, management_uri,
          expires_at
        FROM oauth_registrations WHERE issuer = ? AND redirect_uri = ?
        """, [.text(place.issuer), .text(place.redirectURI)]
      ) { (row) throws(AccountError) in try StoredRegistration(row) }
    }
  }

  public func keepRegistration(
    _ registration: StoredRegistration, at place: RegistrationPlace, now: UnixTime
  ) async throws(AccountError) {
    _ = try await transaction { (database) throws(AccountError) in
      let secret = try current(
        registration.secret,
        at: .registrationSecret(issuer: place.issuer, redirectURI: place.redirectURI))
      try database.change(
        """
        INSERT OR REPLACE INTO oauth_registrations (issuer, redirect_uri, client_id,
          client_authentication, secret, secret_fingerprint, management_uri, registered_at,
          expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
          .text(place.issuer), .text(place.redirectURI), .text(registration.clientID),
          .text(registration.authentication), .optional(secret?.sealed),
          .optional(secret?.fingerprint), .optional(registration.managementURI),
          .integer(now.seconds), .optional(registration.expiresAt?.seconds),
        ])
    }
  }

  public func dropRegistration(
    of clientID: String, at place: RegistrationPlace
  ) async throws(AccountError) {
    _ = try await transaction { (database) throws(AccountError) in
      try database.change(
        "DELETE FROM oauth_registrations WHERE issuer = ? AND redirect_uri = ? AND client_id = ?",
        [.text(place.issuer), .text(place.redirectURI), .text(clientID)])
    }
  }
}

extension StoredRegistration {
  /// Six columns, in the order of the statement above.
  fileprivate init(_ row: borrowing Row) throws(AccountError) {
    let secret: ManagedWrap? =
      row.isNull(2)
      ? nil
      : ManagedWrap(sealed: try RowReading.blob(row, 2), fingerprint: try RowReading.text(row, 3))
    self.init(
      clientID: try RowReading.text(row, 0), authentication: try RowReading.text(row, 1),
      secret: secret, managementURI: row.isNull(4) ? nil : try RowReading.text(row, 4),
      expiresAt: try RowReading.time(row, 5))
  }
}
