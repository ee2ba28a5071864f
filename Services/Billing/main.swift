// The webhook receiver: files what Stripe tells us, durably, before it says yes. The life of
// the process is in ServiceRuntime; what this one does, in Billing.swift.

import ServiceRuntime

ServiceProcess.run(Billing.self)
