// Why settings were refused: the setting by name and the rule it breaks, never its value. A process
// that meets one prints this one line and ends with status 78 (EX_CONFIG).

/// A setting that cannot be used.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The status a process ends with.
  package static let exitStatus: Int32 = 78

  /// The name of the setting.
  package let setting: String
  /// What is wrong, as a sentence that goes behind the name.
  package let problem: String

  /// `problem` is text of our source and names, never a value.
  init(_ setting: String, _ problem: String) {
    self.setting = setting
    self.problem = problem
  }

  init(_ setting: Setting, _ problem: String) {
    self.init("\(setting.name)", problem)
  }

  /// One line for the operator.
  package var description: String { "\(setting): \(problem)" }
}
