// Turns columns into the types of this module. A stored value that this code would not have
// written is an error, never a guess: a policy that cannot be read must not become "anywhere".

import Clocks
import Database
import Vault

/// Typed columns; they count from 0.
enum RowReading {
  static func text(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> String {
    do throws(DatabaseError) { return try row.text(index) } catch { throw .database(error) }
  }

  static func blob(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> [UInt8] {
    do throws(DatabaseError) { return try row.blob(index) } catch { throw .database(error) }
  }

  static func digest(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> Digest256 {
    guard let digest = Digest256(try blob(row, index)) else { throw .recordMalformed }
    return digest
  }

  static func integer(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> Int64 {
    do throws(DatabaseError) { return try row.integer(index) } catch { throw .database(error) }
  }

  static func identifier<Kind>(
    _ row: borrowing Row, _ index: Int32
  ) throws(AccountError) -> Identifier<Kind> {
    guard let identifier = Identifier<Kind>(try text(row, index)) else { throw .recordMalformed }
    return identifier
  }

  static func time(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> UnixTime? {
    row.isNull(index) ? nil : UnixTime(seconds: try integer(row, index))
  }

  static func status(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> ConnectionStatus
  {
    guard let status = ConnectionStatus(rawValue: try text(row, index)) else {
      throw .recordMalformed
    }
    return status
  }

  static func networks(
    _ row: borrowing Row, _ index: Int32, named: NamedNetworks = .standard
  ) throws(AccountError) -> NetworkPolicy? {
    guard !row.isNull(index) else { return nil }
    guard let policy = NetworkPolicy(storedText: try text(row, index), named: named) else {
      throw .recordMalformed
    }
    return policy
  }

  static func lines(_ row: borrowing Row, _ index: Int32) throws(AccountError) -> [String]? {
    guard !row.isNull(index) else { return nil }
    return try text(row, index).utf8.split(separator: 0x0a).map {
      String(decoding: $0, as: UTF8.self)
    }
  }
}
