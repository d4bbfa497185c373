/// Handlers of the signals that operations send.
#pragma once

namespace stress {

/// SIGUSR1 interrupts calls, SIGUSR2 lets them go on.
void install_handlers();
/// No signal has come to a thread that it was not sent to.
void check_signals();

}  // namespace stress
