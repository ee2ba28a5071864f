// Walks the published JSON parsing cases. Where a case leaves the choice to the reader, or where we
// are stricter than the suite on purpose, the verdict and its reason are in the lists below.

import FoundationEssentials
import StrictJSON
import Testing

@Suite("JSON parsing cases") struct CorpusTests {
  /// Accepted by the suite, refused here: readers differ in which of two equal names counts.
  static let refusedOnPurpose: Set<String> = [
    "y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json",
  ]
  /// The reader's choice, taken: only the form of a number is checked, its size is the decoder's.
  static let acceptedByChoice: Set<String> = [
    "i_number_double_huge_neg_exp.json", "i_number_huge_exp.json",
    "i_number_neg_int_huge_exp.json", "i_number_pos_double_huge_exp.json",
    "i_number_real_neg_overflow.json", "i_number_real_pos_overflow.json",
    "i_number_real_underflow.json", "i_number_too_big_neg_int.json",
    "i_number_too_big_pos_int.json", "i_number_very_big_negative_int.json",
  ]

  @Test("give every listed verdict")
  func verdicts() throws {
    let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    let folder = "/\(here)/Vectors/json"
    let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix(".json") }
    #expect(files.count == 316)
    for file in files {
      let bytes = Array(try Data(contentsOf: URL(filePath: "\(folder)/\(file)")))
      let accepted =
        file.hasPrefix("y_") && !Self.refusedOnPurpose.contains(file)
        || Self.acceptedByChoice.contains(file)
      #expect(isWellFormed(bytes) == accepted, "\(file)")
    }
  }

  @Test("with a hundred thousand levels are refused without deep recursion")
  func deep() {
    #expect(!isWellFormed(Array(repeating: UInt8(ascii: "["), count: 100_000)))
    let objects = (0..<50_000).flatMap { _ in Array(#"[{"":"#.utf8) }
    #expect(!isWellFormed(objects))
  }
}
