// How many cores may this process use? What the scheduler allows (affinity, cpusets), not what the
// machine has.

import CLinux

/// The cores this process may run on, 1 to 256.
public var usableCores: Int { min(max(1, Int(bindery_usable_cores())), 256) }
