// How long will a connection last, and what must its owner be told now? Pure: what is stored and the
// time come in. Each thing is told once: the marks that were written when it was told come in, too.

import Clocks

/// One connection by OAuth, as far as its future is concerned.
struct Prospect: Sendable, Equatable {
  var connection: String
  var isManaged: Bool
  var createdAt: UnixTime
  /// The generation of the stored tokens.
  var generation: Int64
  /// When the refresh token ends, if the provider said.
  var endsAt: UnixTime?
  /// Since when the provider wants the person's consent anew.
  var needsReauthAt: UnixTime?
  /// When the person was last told that it ends or has ended.
  var warnedAt: UnixTime?
  /// When the person was last reminded of the year.
  var remindedAt: UnixTime?
}

/// What is to be told.
enum Notice: Sendable, Equatable {
  /// The tokens end within the days, if nothing is done.
  case ending(UnixTime, withinDays: Int64)
  case needsReauthorization
  /// The consent is almost this many years old.
  case yearly(Int64)
}

/// The rules of forecasts.
enum Forecast {
  static let day: Int64 = 86_400
  /// Days before the end at which a person is warned, the last one first.
  static let warningDays: [Int64] = [1, 7]
  /// Days after connecting at which a person is first reminded; from then on once a year.
  static let reminderDays: Int64 = 335
  static let yearDays: Int64 = 365

  /// Whether the tokens end within `seconds` from now and can still be saved.
  static func isDying(_ prospect: Prospect, within seconds: Int64, at now: UnixTime) -> Bool {
    guard prospect.needsReauthAt == nil, let end = prospect.endsAt else { return false }
    return end > now && end <= now.advanced(bySeconds: seconds)
  }

  /// What the owner is to be told now; nil for nothing. A connection that needs its owner gets no
  /// other mail.
  static func notice(for prospect: Prospect, at now: UnixTime) -> Notice? {
    if let since = prospect.needsReauthAt {
      return isTold(prospect.warnedAt, since: since) ? nil : .needsReauthorization
    }
    if let end = prospect.endsAt, end > now {
      for days in warningDays {
        let from = end.advanced(bySeconds: -days * day)
        guard now >= from else { continue }
        if !isTold(prospect.warnedAt, since: from) { return .ending(end, withinDays: days) }
        break  // the later warning says more than the earlier one
      }
    }
    let first = prospect.createdAt.advanced(bySeconds: reminderDays * day)
    guard now >= first else { return nil }
    let years = (now.seconds - first.seconds) / (yearDays * day)
    let point = first.advanced(bySeconds: years * yearDays * day)
    return isTold(prospect.remindedAt, since: point) ? nil : .yearly(years + 1)
  }

  private static func isTold(_ told: UnixTime?, since time: UnixTime) -> Bool {
    told.map { $0 >= time } ?? false
  }
}
