// Why settings were refused: the setting by name and the rule it breaks, never its value. A process
// that meets one prints this one line and ends with status 78 (EX_CONFIG).

import Logging
import Providers

/// A setting that cannot be used.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The status a process ends with.
  public static let exitStatus: Int32 = 78

  /// The name of the setting.
  public let setting: String
  /// What is wrong, as a sentence that goes behind the name.
  public let problem: String
  /// Which service and field, when a catalogue is wrong.
  let catalogue: CatalogueError?
  /// Which entry of a list, counted from 1, when one is wrong.
  let entry: Int?

  /// `problem` is text of our source and names, never a value.
  init(_ setting: String, _ problem: String, entry: Int? = nil) {
    self.setting = setting
    self.problem = problem
    self.entry = entry
    catalogue = nil
  }

  /// What is wrong with the catalogue that a setting names.
  init(_ setting: Setting, _ error: CatalogueError) {
    self.setting = "\(setting.name)"
    problem = "\(error)"
    catalogue = error
    entry = nil
  }

  init(_ setting: Setting, _ problem: String) {
    self.init("\(setting.name)", problem)
  }

  /// The same for a log line of a process that goes on with what it had.
  public var logFields: KeyValuePairs<StaticString, LogValue> {
    guard case .field(let service, let field, let problem)? = catalogue else {
      guard let entry else { return ["setting": .text(.place(setting))] }
      return ["setting": .text(.place(setting)), "entry": .count(entry)]
    }
    return [
      "setting": .text(.place(setting)), "provider": .text(.place(service)),
      "field": .text(.place(field)), "problem": .literal(problem.label),
    ]
  }

  /// One line for the operator.
  public var description: String { "\(setting): \(problem)" }
}

extension CatalogueError.Problem {
  fileprivate var label: StaticString {
    switch self {
    case .missing: "missing"
    case .unknown: "unknown"
    case .wrongType: "wrong_type"
    case .badValue: "bad_value"
    case .insecure: "insecure"
    case .duplicate: "duplicate"
    case .contradicts: "contradicts"
    }
  }
}
