/* Cards that reach nothing: each guest has a network of its own, inside its hypervisor.

   What each function is for, when it is called and what an error means is in wit/deps/fief-network. */
#include "fief.h"

typedef exports_fief_network_mode_network_t network_t;
typedef exports_fief_network_mode_error_t error_t;

/* There is nothing to build. A bridge would be asked of the host here. */
bool exports_fief_network_mode_up(network_t *network, error_t *error) {
    (void)network, (void)error;
    return true;
}

bool exports_fief_network_mode_plug(network_t *network, exports_fief_network_mode_nic_t *nic,
                                    exports_fief_network_mode_port_t *port, error_t *error) {
    if (nic->address.is_some) {
        return fief_fail(error, FIEF_TYPES_TYPES_ERROR_CODE_UNSUPPORTED,
                         fief_join("nobody here gives out ", fief_c(nic->address.val), NULL));
    }
    text restricted = fief_setting(network->settings.ptr, network->settings.len, "restricted");
    *port = (exports_fief_network_mode_port_t){ .tag = EXPORTS_FIEF_NETWORK_MODE_PORT_USER };
    port->val.user.restricted = fief_same(restricted, fief_text("true"));
    return true;
}

bool exports_fief_network_mode_check(network_t *network, exports_fief_network_mode_list_finding_t *all, error_t *error) {
    (void)network, (void)error;
    all->ptr = NULL;
    all->len = 0;
    return true;
}
