// Carries the text of every migration inside the executables, so that they run from any folder.
// Append-only: a number, once released, keeps its file and its text for ever. A new file is named
// here and among the resources of this target in Package.swift; a test compares both with the folder.

/// One file of the folder `migrations`, as it was when the executable was built.
public struct MigrationFile: Sendable {
  /// The name without extension, `NNNN_what`.
  public let name: String
  /// Its text, byte for byte.
  public let text: [UInt8]

  /// A file called `name` that holds `text`.
  public init(name: String, text: [UInt8]) {
    self.name = name
    self.text = text
  }

  /// All files, by number. The build drops the leading digit from the names of the constants.
  public static let all: [MigrationFile] = [
    MigrationFile(name: "0001_bindery_initial", text: PackageResources._001_bindery_initial_sql),
    MigrationFile(name: "0002_tokens_initial", text: PackageResources._002_tokens_initial_sql),
    MigrationFile(name: "0003_stripe_inbox", text: PackageResources._003_stripe_inbox_sql),
    MigrationFile(name: "0004_connect", text: PackageResources._004_connect_sql),
    MigrationFile(name: "0005_refresh", text: PackageResources._005_refresh_sql),
    MigrationFile(name: "0006_rotation", text: PackageResources._006_rotation_sql),
    MigrationFile(name: "0007_jobs", text: PackageResources._007_jobs_sql),
    MigrationFile(name: "0008_suspension", text: PackageResources._008_suspension_sql),
    MigrationFile(
      name: "0009_authorization_server", text: PackageResources._009_authorization_server_sql),
    MigrationFile(name: "0010_keys", text: PackageResources._010_keys_sql),
    MigrationFile(name: "0011_account", text: PackageResources._011_account_sql),
    MigrationFile(name: "0012_key_use", text: PackageResources._012_key_use_sql),
    MigrationFile(name: "0013_plans", text: PackageResources._013_plans_sql),
    MigrationFile(name: "0014_billing", text: PackageResources._014_billing_sql),
    MigrationFile(name: "0015_parted_grants", text: PackageResources._015_parted_grants_sql),
  ]
}
