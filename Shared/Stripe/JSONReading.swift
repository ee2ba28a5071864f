// How are objects of Stripe read? Tolerantly: a field that is missing, null or of another type than
// documented is nil, and whoever needs it says so. What is taken has bounds, so that no number
// overflows later and no text is longer than a column.

/// Any name of a field.
struct FieldName: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(_ name: String) { stringValue = name }
  init?(stringValue: String) { self.init(stringValue) }
  init?(intValue: Int) { nil }
}

/// The fields of one object.
struct Fields {
  private let container: KeyedDecodingContainer<FieldName>

  static let textBytesMax = 255
  /// The end of the year 9999.
  static let timeMax: Int64 = 253_402_300_799

  init(_ decoder: any Decoder) throws {
    container = try decoder.container(keyedBy: FieldName.self)
  }

  /// A text of at most 255 bytes, not empty, without control characters.
  func text(_ name: String) -> String? {
    guard let text = try? container.decode(String.self, forKey: FieldName(name)),
      (1...Self.textBytesMax).contains(text.utf8.count),
      text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
    else { return nil }
    return text
  }

  /// A moment in whole seconds.
  func time(_ name: String) -> Int64? {
    guard let value = try? container.decode(Int64.self, forKey: FieldName(name)),
      (0...Self.timeMax).contains(value)
    else { return nil }
    return value
  }

  /// A number of things, up to a million.
  func count(_ name: String) -> Int64? {
    guard let value = try? container.decode(Int64.self, forKey: FieldName(name)),
      (0...1_000_000).contains(value)
    else { return nil }
    return value
  }

  func flag(_ name: String) -> Bool? {
    try? container.decode(Bool.self, forKey: FieldName(name))
  }

  /// The id of another object: as it is, or inside the object itself when it was expanded.
  func reference(_ name: String) -> String? {
    text(name) ?? object(name, as: Expanded.self)?.id
  }

  /// An object, read as `type`.
  func object<T: Decodable>(_ name: String, as type: T.Type) -> T? {
    try? container.decode(T.self, forKey: FieldName(name))
  }

  private struct Expanded: Decodable {
    let id: String?
    init(from decoder: any Decoder) throws { id = try Fields(decoder).text("id") }
  }
}

/// Objects that are passed over one by one when they can not be read.
struct Lenient<Element: Decodable>: Decodable {
  let elements: [Element]

  init(from decoder: any Decoder) throws {
    var list = try decoder.unkeyedContainer()
    var elements: [Element] = []
    while !list.isAtEnd {
      if let element = try? list.decode(Element.self) {
        elements.append(element)
      } else {
        _ = try list.decode(Anything.self)
      }
    }
    self.elements = elements
  }

  private struct Anything: Decodable {
    init(from decoder: any Decoder) throws {}
  }
}

/// A list of Stripe's: a page of objects.
public struct StripeList<Element: Decodable & Sendable>: Decodable, Sendable {
  public let elements: [Element]
  /// Whether there are more behind them.
  public let hasMore: Bool
  /// How many the page held, those that can not be read among them.
  public let count: Int
  /// The id of the last one, to ask for those behind it.
  public let lastID: String?

  public init(from decoder: any Decoder) throws {
    let fields = try Fields(decoder)
    elements = fields.object("data", as: Lenient<Element>.self)?.elements ?? []
    let ids = fields.object("data", as: Lenient<Named>.self)?.elements ?? []
    hasMore = fields.flag("has_more") ?? false
    count = ids.count
    lastID = ids.last?.id
  }

  private struct Named: Decodable {
    let id: String?
    init(from decoder: any Decoder) throws { id = try Fields(decoder).text("id") }
  }
}
