// The OpenAPI document says what the router does: every route is in it, nothing else is, and what it
// says of callers, parameters and refusals is what the routes' own rules say.

import FoundationEssentials
import HTTPCodec
import Testing

@testable import bindery_auth

@Suite("OpenAPI") struct OpenAPITests {
  /// The document as the tests read it.
  struct Document: Decodable {
    struct Operation: Decodable {
      struct Answer: Decodable {
        struct Content: Decodable {
          struct Schema: Decodable {
            let reference: String?
            private enum CodingKeys: String, CodingKey { case reference = "$ref" }
          }
          let schema: Schema
        }
        let description: String
        let content: [String: Content]?
      }
      let operationId: String
      let summary: String
      let security: [[String: [String]]]
      let responses: [String: Answer]
    }
    struct Parameter: Decodable {
      let name: String
    }
    struct Path: Decodable {
      let parameters: [Parameter]?
      let get: Operation?
      let post: Operation?
      let patch: Operation?
      let delete: Operation?
      let put: Operation?
    }
    struct Components: Decodable {
      struct Schema: Decodable {}
      let schemas: [String: Schema]
    }
    let openapi: String
    let paths: [String: Path]
    let components: Components
  }

  private func document() async throws -> Document {
    let fixture = try APIFixture()
    let answer = await fixture.call(.get, "/api/openapi.json")
    #expect(answer.status == 200)
    return try JSONDecoder().decode(Document.self, from: Data(answer.response.body))
  }

  private func operation(_ path: Document.Path, _ method: HTTPCodec.Method) -> Document.Operation? {
    switch method {
    case .get: path.get
    case .post: path.post
    case .patch: path.patch
    case .delete: path.delete
    case .put: path.put
    default: nil
    }
  }

  @Test("the document and the router have the same routes") func equal() async throws {
    let document = try await document()
    #expect(document.openapi == "3.1.0")
    var found = 0
    for (pattern, path) in document.paths {
      let names = path.parameters?.map(\.name) ?? []
      let wanted = pattern.split(separator: "/").filter { $0.hasPrefix("{") }
        .map { String($0.dropFirst().dropLast()) }
      #expect(names == wanted, "\(pattern)")
      for method in [HTTPCodec.Method.get, .post, .patch, .delete, .put] {
        guard let operation = self.operation(path, method) else { continue }
        found += 1
        #expect(!operation.summary.isEmpty)
        guard let route = Route.allCases.first(where: { $0.shape == (method, pattern) }) else {
          let filled = pattern.replacing("{service}", with: "x")
          let path = try #require(AuthorizationServerRoutes.Path(filled), "\(pattern)")
          #expect(path.methods.contains(String(describing: method.text)), "\(pattern)")
          #expect(operation.security.isEmpty)
          continue
        }
        #expect(operation.operationId == "\(route)")
        #expect(operation.security.isEmpty == (route.access == .everyone))
      }
    }
    #expect(found == DescribedOperation.all.count)
    #expect(Set(DescribedOperation.all.map(\.id)).count == found)
  }

  @Test("each path of the authorization server is there with each of its methods") func server()
    async throws
  {
    for path in AuthorizationServerRoutes.Path.allCases {
      let methods = Set(path.methods.split(separator: ", ").map(String.init)).subtracting([
        "OPTIONS"
      ])
      let described = Set(path.operations.map { String(describing: $0.method.text) })
      #expect(described == methods, "\(path)")
      for operation in path.operations {
        let filled = operation.pattern.replacing("{service}", with: "x")
        #expect(AuthorizationServerRoutes.Path(filled) == path)
      }
    }
  }

  @Test("each refusal of a route has its status and its code") func refusals() async throws {
    let document = try await document()
    for route in Route.allCases {
      let path = try #require(document.paths[route.shape.pattern])
      let operation = try #require(self.operation(path, route.shape.method))
      for refusal in RouteRefusals.all(of: route, route.description) {
        let (status, code, _) = refusal.wire
        let answer = try #require(operation.responses[String(status)], "\(route) \(status)")
        #expect(answer.description.contains(code), "\(route) \(code)")
      }
      #expect(
        operation.responses.keys.contains { ["200", "201", "202", "302"].contains($0) }
          || operation.responses["204"] != nil)
    }
  }

  @Test("every schema that is referred to is there") func references() async throws {
    let document = try await document()
    for path in document.paths.values {
      for operation in [path.get, path.post, path.patch, path.delete, path.put].compactMap(\.self) {
        for answer in operation.responses.values {
          for content in answer.content?.values.map(\.schema.reference) ?? [] {
            guard let reference = content else { continue }
            let name = String(reference.split(separator: "/").last ?? "")
            #expect(reference == "#/components/schemas/\(name)")
            #expect(document.components.schemas[name] != nil, "\(reference)")
          }
        }
      }
    }
  }
}
