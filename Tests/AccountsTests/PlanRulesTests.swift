// What a plan allows at every moment: each row is an account, a standing and a time, and the number of
// connections that may be active then. The grid at the end holds the rules against each other.

import Accounts
import Clocks
import Testing

@Suite("Plan rules") struct PlanRulesTests {
  static let day: Int64 = 86_400
  static let terms = PlanTerms(
    trialSeconds: 5 * day, trialConnections: 2, graceSeconds: 3 * day)
  /// The account's start; times below are seconds after it.
  static let start: Int64 = 1_800_000_000

  static func time(_ offset: Int64) -> UnixTime { UnixTime(seconds: start + offset) }

  static func rules(
    _ standing: PlanStanding, caughtUpAt: Int64, enabledAt: Int64 = -day,
    terms: PlanTerms = Self.terms
  ) -> PlanRules {
    PlanRules(
      terms: terms, standing: standing,
      contact: BillingContact(enabledAt: time(enabledAt), caughtUpAt: time(caughtUpAt)),
      startedAt: time(0))
  }

  /// Whose billing is in contact all the time.
  static func allowed(_ standing: PlanStanding, at offset: Int64, enabledAt: Int64 = -day) -> Int64
  {
    rules(standing, caughtUpAt: offset - 60, enabledAt: enabledAt).allowed(at: time(offset))
  }

  static func standing(
    _ plan: Plan, _ quantity: Int64, pastDue: Int64? = nil, until: Int64? = nil, paid: Int64? = nil
  ) -> PlanStanding {
    PlanStanding(
      version: 1, plan: plan, quantity: quantity, pastDueSince: pastDue.map(time),
      accessUntil: until.map(time), paidUntil: paid.map(time))
  }

  static let rows: [(String, PlanStanding, Int64, Int64)] = [
    ("a trial begins with two", .none, 0, 2),
    ("to its last second", .none, 5 * day - 1, 2),
    ("and ends without grace", .none, 5 * day, 0),
    ("one who pays for less has what the trial gives", standing(.active, 1), day, 2),
    ("and what is paid for afterwards", standing(.active, 1), 5 * day, 1),
    ("one who pays for more has it at once", standing(.active, 7), day, 7),
    ("the trial holds whatever the plan", standing(.canceled, 0, until: 1), day, 2),
    ("an active plan without a period does not end", standing(.active, 3), 4000 * day, 3),
    ("a period's end is not the end", standing(.active, 3, paid: 30 * day), 33 * day - 1, 3),
    ("but 72 hours later", standing(.active, 3, paid: 30 * day), 33 * day, 0),
    ("nothing paid for is nothing", standing(.active, 0), 10 * day, 0),
    ("a trial's standing pays for nothing", standing(.freeTrial, 9), 10 * day, 0),
    ("grace lasts", standing(.active, 3, pastDue: 10 * day), 13 * day - 1, 3),
    ("three days", standing(.active, 3, pastDue: 10 * day), 13 * day, 0),
    (
      "grace wins over a period that ended",
      standing(.active, 3, pastDue: 10 * day, paid: 9 * day), 13 * day - 1, 3
    ),
    (
      "and is not stretched by one that did not",
      standing(.active, 3, pastDue: 10 * day, paid: 40 * day), 13 * day, 0
    ),
    ("grace does not cut the trial", standing(.active, 3, pastDue: 0), 4 * day, 2),
    ("cancelled holds until its end", standing(.canceled, 3, until: 20 * day), 20 * day - 1, 3),
    ("and not longer", standing(.canceled, 3, until: 20 * day), 20 * day, 0),
    ("cancelled without an end has ended", standing(.canceled, 3), 10 * day, 0),
    (
      "cancelled and unpaid ends with what comes first",
      standing(.canceled, 3, pastDue: 10 * day, until: 20 * day), 13 * day, 0
    ),
    (
      "whichever that is",
      standing(.canceled, 3, pastDue: 10 * day, until: 11 * day), 11 * day, 0
    ),
    (
      "a period does not lengthen what was cancelled",
      standing(.canceled, 3, until: 20 * day, paid: 30 * day), 20 * day, 0
    ),
  ]

  @Test("allow to the second", arguments: rows)
  func allows(why: String, standing: PlanStanding, offset: Int64, expected: Int64) {
    #expect(Self.allowed(standing, at: offset) == expected, "\(why)")
  }

  @Test("count the trial from when plans came into force") func enabledLater() {
    let enabled = 100 * Self.day
    #expect(Self.allowed(.none, at: 105 * Self.day - 1, enabledAt: enabled) == 2)
    #expect(Self.allowed(.none, at: 105 * Self.day, enabledAt: enabled) == 0)
  }

  @Test("know a trial without connections") func noTrial() {
    let terms = PlanTerms(trialSeconds: 5 * Self.day, trialConnections: 0, graceSeconds: 0)
    let rules = Self.rules(.none, caughtUpAt: 0, terms: terms)
    #expect(rules.allowed(at: Self.time(0)) == 0)
    #expect(rules.endsAt == UnixTime(seconds: 0))
    #expect(rules.reviewAt(after: Self.time(0)) == nil)
  }

  // Offsets of billing's last word from the end, and when it really ends.
  static let silences: [(Int64, Int64)] = [
    (60, 0), (0, 0), (-300, 0),
    (-301, -301 + 72 * 3600), (-day, 2 * day), (-72 * 3600 + 1, 1), (-72 * 3600, 0),
    (-72 * 3600 - 1, 0), (-30 * day, 0),
  ]

  @Test(
    "put an end off while billing is silent, to 72 hours after its last word",
    arguments: silences)
  func silence(word: Int64, end: Int64) {
    let trialEnd = 5 * Self.day
    let rules = Self.rules(.none, caughtUpAt: trialEnd + word, enabledAt: -90 * Self.day)
    #expect(rules.allowed(at: Self.time(trialEnd + end - 1)) == 2)
    #expect(rules.allowed(at: Self.time(trialEnd + end)) == 0)
    // Every end is put off alike.
    let ends: [PlanStanding] = [
      Self.standing(.canceled, 4, until: 40 * Self.day),
      Self.standing(.active, 4, pastDue: 37 * Self.day),
      Self.standing(.active, 4, paid: 37 * Self.day),
    ]
    for standing in ends {
      let rules = Self.rules(
        standing, caughtUpAt: 40 * Self.day + word, enabledAt: -90 * Self.day)
      #expect(rules.allowed(at: Self.time(40 * Self.day + end - 1)) == 4)
      #expect(rules.allowed(at: Self.time(40 * Self.day + end)) == 0)
    }
  }

  @Test("say why there is no room") func refusals() {
    func reason(_ standing: PlanStanding, _ offset: Int64) -> PlanRefusal {
      Self.rules(standing, caughtUpAt: offset).refusal(at: Self.time(offset))
    }
    #expect(reason(.none, 0) == .limitReached)
    #expect(reason(.none, 5 * Self.day) == .trialEnded)
    #expect(reason(Self.standing(.active, 3), 10 * Self.day) == .limitReached)
    #expect(reason(Self.standing(.active, 0), 10 * Self.day) == .limitReached)
    #expect(reason(Self.standing(.active, 3, pastDue: 0), 10 * Self.day) == .pastDue)
    #expect(reason(Self.standing(.canceled, 3, until: 0), 10 * Self.day) == .canceled)
  }

  @Test("tell until when there is access") func access() {
    func until(_ standing: PlanStanding) -> UnixTime? {
      Self.rules(standing, caughtUpAt: 0).accessUntil
    }
    #expect(until(.none) == nil)
    #expect(until(Self.standing(.active, 3, paid: Self.day)) == nil)
    #expect(until(Self.standing(.active, 3, pastDue: 7)) == Self.time(7 + 3 * Self.day))
    #expect(until(Self.standing(.canceled, 3, until: 9)) == Self.time(9))
    #expect(until(Self.standing(.canceled, 0, until: 9)) == Self.time(9))
  }

  @Test("believe no number that can not be") func soundness() {
    func isSound(_ change: (inout PlanStanding) -> Void) -> Bool {
      var standing = Self.standing(.active, 1)
      change(&standing)
      return standing.isSound
    }
    #expect(isSound { _ in })
    #expect(!isSound { $0.version = 0 })
    #expect(!isSound { $0.quantity = -1 })
    #expect(isSound { $0.quantity = PlanStanding.quantityMax })
    #expect(!isSound { $0.quantity = PlanStanding.quantityMax + 1 })
    for field in [\PlanStanding.pastDueSince, \.accessUntil, \.paidUntil] {
      #expect(isSound { $0[keyPath: field] = UnixTime(seconds: PlanStanding.timeMax) })
      #expect(!isSound { $0[keyPath: field] = UnixTime(seconds: PlanStanding.timeMax + 1) })
      #expect(!isSound { $0[keyPath: field] = UnixTime(seconds: .max) })
      #expect(!isSound { $0[keyPath: field] = UnixTime(seconds: -1) })
    }
  }

  @Test("agree among themselves at every moment of every standing") func grid() {
    let times: [Int64?] = [nil, 2, 6, 9]
    let moments = (-1...16).map { Int64($0) * Self.day }
    var states = 0
    for plan in Plan.allCases {
      for quantity in [Int64(0), 1, 5] {
        for (pastDue, until, paid) in Self.triples(times) {
          let standing = Self.standing(
            plan, quantity, pastDue: pastDue, until: until, paid: paid)
          for word in [Int64(-40), -1, 3, 6, 20] {
            let rules = Self.rules(standing, caughtUpAt: word * Self.day)
            Self.check(rules, moments)
            states += 1
          }
        }
      }
    }
    #expect(states == 3 * 3 * 64 * 5)
  }

  private static func triples(_ times: [Int64?]) -> [(Int64?, Int64?, Int64?)] {
    let days = times.map { $0.map { $0 * day } }
    return days.flatMap { a in days.flatMap { b in days.map { (a, b, $0) } } }
  }

  private static func check(_ rules: PlanRules, _ moments: [Int64]) {
    let end = rules.endsAt.map { rules.contact.deferred($0) }
    for moment in moments.map(time) {
      let allowed = rules.allowed(at: moment)
      // What the edge reads says the same as the rules.
      #expect((allowed > 0) == (end.map { moment < $0 } ?? true))
      // Until the next review nothing changes; at it, or with the contact, something may.
      let review = rules.reviewAt(after: moment)
      #expect(review.map { $0 > moment } ?? true)
      for later in moments.map(time) where later > moment && review.map({ later < $0 }) ?? true {
        #expect(rules.allowed(at: later) == allowed)
      }
      // The clock gives nothing.
      for later in moments.map(time) where later > moment {
        #expect(rules.allowed(at: later) <= allowed)
      }
    }
  }
}
