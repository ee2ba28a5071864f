// Which path is answered by whom. There are two, and they are the same; everything else is a
// constant refusal.

import HTTPCodec
import HTTPServer

/// The routes of billing.
struct BillingRoutes: RequestHandler {
  let receiver: Receiver

  func respond(to request: Request) async -> Response {
    guard
      ["/webhooks/stripe", "/api/webhooks/stripe"].contains(where: {
        $0.utf8.elementsEqual(request.path.utf8)
      })
    else {
      return .json(status: 404, Array(#"{"error":"not_found","message":"No such route"}"#.utf8))
    }
    guard request.method == .post else {
      var response = Response.json(
        status: 405, Array(#"{"error":"method_not_allowed","message":"Only POST"}"#.utf8))
      response.fields.append(("allow", "POST"))
      return response
    }
    return await receiver.receive(request)
  }
}
