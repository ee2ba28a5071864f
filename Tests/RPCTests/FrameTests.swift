// The frame codec: one layout, the same verdict at every split, bad heads refused as soon as
// their bytes are there.

import Testing

@testable import RPC

@Suite("RPC frames") struct FrameTests {
  static let samples: [Frame] = [
    Frame(version: 1, kind: .call, id: 1, deadlineMilliseconds: 2_000, payload: [1, 2, 3]),
    Frame(version: 1, kind: .reply, id: .max, payload: []),
    Frame(version: 1, kind: .refusal, id: 7, payload: Array("failed".utf8)),
    Frame(version: 1, kind: .call, id: 0x0102_0304_0506_0708, payload: [UInt8](0...255)),
  ]

  /// Feeds `bytes` in pieces of `step` and gives the frames, or the error that came first.
  static func decode(_ bytes: [UInt8], step: Int, version: UInt8 = 1)
    -> Result<[Frame], FrameError>
  {
    var decoder = FrameDecoder()
    decoder.version = version
    var frames: [Frame] = []
    var offset = 0
    while offset < bytes.count {
      let end = min(offset + step, bytes.count)
      bytes[offset..<end].withUnsafeBytes { decoder.append($0) }
      offset = end
      do throws(FrameError) {
        while let frame = try decoder.next() { frames.append(frame) }
      } catch { return .failure(error) }
    }
    return .success(frames)
  }

  @Test("have the layout that is written down") func layout() {
    let bytes = Frame(
      version: 1, kind: .call, id: 0x0102_0304_0506_0708, deadlineMilliseconds: 0x0A0B_0C0D,
      payload: [0xEE]
    ).encoded()
    #expect(
      bytes == [0, 0, 0, 15, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0x0A, 0x0B, 0x0C, 0x0D, 0xEE])
  }

  @Test("read alike at every split", arguments: 1...40) func splits(step: Int) {
    let bytes = Self.samples.flatMap { $0.encoded() }
    #expect(Self.decode(bytes, step: step) == .success(Self.samples))
  }

  @Test("cut in two at every byte give the same frames") func twoPieces() {
    let bytes = Self.samples.flatMap { $0.encoded() }
    for cut in 0...bytes.count {
      var decoder = FrameDecoder()
      decoder.version = 1
      var frames: [Frame] = []
      for part in [bytes[..<cut], bytes[cut...]] {
        part.withUnsafeBytes { decoder.append($0) }
        while let frame = try? decoder.next() { frames.append(frame) }
      }
      #expect(frames == Self.samples, "cut at \(cut)")
    }
  }

  static let bad: [([UInt8], FrameError)] = [
    ([0, 0, 0, 0], .tooShort(0)),  // an empty frame
    ([0, 0, 0, 13], .tooShort(13)),  // one byte less than the head
    ([0, 0x10, 0, 1], .tooLong(1_048_577)),  // one byte over the bound
    ([0xFF, 0xFF, 0xFF, 0xFF], .tooLong(.max)),  // a length that overflows Int32
    ([0x7F, 0xFF, 0xFF, 0xFF], .tooLong(0x7FFF_FFFF)),
    ([0, 0, 0, 14, 2], .version(2, expected: 1)),  // a version nobody agreed on
    ([0, 0, 0, 14, 0], .version(0, expected: 1)),  // a second greeting
    ([0, 0, 0, 14, 1, 0], .unknownKind(0)),
    ([0, 0, 0, 14, 1, 5], .unknownKind(5)),
    (Array("GET / HTTP/1.1\r\n\r\n".utf8), .tooLong(0x4745_5420)),  // the wrong door
  ]

  @Test("with a bad head are refused at its first wrong byte, at every split", arguments: bad)
  func refused(bytes: [UInt8], error: FrameError) {
    for step in 1...bytes.count { #expect(Self.decode(bytes, step: step) == .failure(error)) }
  }

  @Test("of the largest size pass") func largest() {
    let frame = Frame(
      version: 1, kind: .reply, id: 3,
      payload: [UInt8](repeating: 0x5A, count: Frame.payloadBytesMax))
    #expect(frame.encoded().count == 4 + (1 << 20))
    #expect(Self.decode(frame.encoded(), step: 65_536) == .success([frame]))
  }

  @Test("announced but not sent cost no memory") func announced() throws {
    var decoder = FrameDecoder()
    decoder.version = 1
    let head: [UInt8] = [0, 0x10, 0, 0, 1, 2]
    head.withUnsafeBytes { decoder.append($0) }
    #expect(try decoder.next() == nil)
    #expect(decoder.isInsideFrame)
  }

  @Test("in a row of a hundred thousand are read in linear time") func many() {
    let one = Frame(version: 1, kind: .reply, id: 9, payload: [1]).encoded()
    var decoder = FrameDecoder()
    decoder.version = 1
    let chunk = [[UInt8]](repeating: one, count: 1_000).flatMap { $0 }
    var count = 0
    for _ in 0..<100 {
      chunk.withUnsafeBytes { decoder.append($0) }
      while (try? decoder.next()) ?? nil != nil { count += 1 }
    }
    #expect(count == 100_000)
  }
}
