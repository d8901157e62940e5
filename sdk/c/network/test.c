/* What the plugin does: `make test`. What it asked of the host would have a fake here. */
#include <stdio.h>
#include <stdlib.h>
#include "fief.h"

#define CHECK(what) ((what) ? (void)0 : failed(#what, __LINE__))

static void failed(const char *what, int line) {
    fprintf(stderr, "test/test.c:%d: this is not so: %s\n", line, what);
    exit(1);
}

int main(void) {
    fief_types_types_setting_t settings[1] = { { fief_text("restricted"), fief_text("true") } };
    exports_fief_network_mode_network_t network = { .name = fief_text("n"), .settings = { settings, 1 } };
    exports_fief_network_mode_nic_t nic = { .domain = fief_text("d") };
    exports_fief_network_mode_port_t port;
    exports_fief_network_mode_error_t error;
    CHECK(exports_fief_network_mode_plug(&network, &nic, &port, &error));
    CHECK(port.tag == EXPORTS_FIEF_NETWORK_MODE_PORT_USER && port.val.user.restricted);
    settings[0].value = fief_text("false");
    CHECK(exports_fief_network_mode_plug(&network, &nic, &port, &error) && !port.val.user.restricted);
    nic.address.is_some = true;
    nic.address.val = fief_text("10.0.0.1");
    CHECK(!exports_fief_network_mode_plug(&network, &nic, &port, &error));
    CHECK(error.code.tag == FIEF_TYPES_TYPES_ERROR_CODE_UNSUPPORTED);
    puts("all tests passed");
}
