// The words of the mails about payment. Billing says when and to whom; amounts, cards and invoices are
// Stripe's to tell.

import RPC

extension MailTemplate {
  /// The template of a kind that is about payment.
  static func billing(_ kind: MailKind) -> MailTemplate {
    switch kind {
    case .subscriptionConfirmed:
      MailTemplate(
        subject: "Your subscription at {host}",
        body: """
          Hello,

          thank you: your subscription at {host} is in force, for {connections}. You can change
          or cancel it at any time, and find your invoices, here:
          {dashboard}

          """ + why)
    case .paymentFailed:
      MailTemplate(
        subject: "A payment for {host} failed",
        body: """
          Hello,

          the payment for your subscription at {host} failed. Your connections go on working
          until {date}; then programs that use them will be refused.

          To keep them working, pay the open invoice or change your card before that day:
          {dashboard}

          """ + why)
    default:
      MailTemplate(
        subject: "Your subscription at {host} ends on {date}",
        body: """
          Hello,

          your subscription at {host} was cancelled and ends on {date}. Until then everything
          works. Afterwards your connections are suspended; those that stay so for 60 days are
          deleted.

          If you want to keep them, renew the subscription here:
          {dashboard}

          """ + why)
    }
  }
}
