/* An extension for freeDiameter that answers every MO-Data-Request 2001 and does nothing
 * else: what a server built on it costs before it has done any work. It learns as much of
 * T6a (TS 29.128) as such a request has. */
#include <freeDiameter/extension.h>

enum {
    VENDOR_3GPP = 10415,
    APPLICATION_T6A = 16777346,
    COMMAND_MO_DATA = 8388733,
    AVP_USER_IDENTIFIER = 3102,
    AVP_NON_IP_DATA = 4315,
    AVP_BEARER_IDENTIFIER = 1020,
    AVP_AUTH_SESSION_STATE = 277,
    NO_STATE_MAINTAINED = 1,
};

static struct dict_object *session_state;

static int add_session_state(struct msg *answer)
{
    union avp_value value = { .i32 = NO_STATE_MAINTAINED };
    struct avp *avp;
    CHECK_FCT(fd_msg_avp_new(session_state, 0, &avp));
    CHECK_FCT(fd_msg_avp_setvalue(avp, &value));
    return fd_msg_avp_add(answer, MSG_BRW_LAST_CHILD, avp);
}

static int on_mo_data(struct msg **message, struct avp *avp, struct session *session, void *data, enum disp_action *action)
{
    (void)avp, (void)session, (void)data, (void)action;
    if (message == NULL)
        return EINVAL;
    CHECK_FCT(fd_msg_new_answer_from_req(fd_g_config->cnf_dict, message, 0));
    CHECK_FCT(add_session_state(*message));
    CHECK_FCT(fd_msg_rescode_set(*message, (char *)"DIAMETER_SUCCESS", NULL, NULL, 1));
    return fd_msg_send(message, NULL, NULL);
}

static int add_avp(uint32_t code, const char *name, enum dict_avp_basetype type)
{
    struct dict_avp_data data = { .avp_code = code, .avp_vendor = VENDOR_3GPP, .avp_name = (char *)name,
                                  .avp_flag_mask = AVP_FLAG_VENDOR | AVP_FLAG_MANDATORY,
                                  .avp_flag_val = AVP_FLAG_VENDOR | AVP_FLAG_MANDATORY, .avp_basetype = type };
    return fd_dict_new(fd_g_config->cnf_dict, DICT_AVP, &data, NULL, NULL);
}

static int add_command(struct dict_object *application, const char *name, uint8_t request, struct dict_object **out)
{
    struct dict_cmd_data data = { .cmd_code = COMMAND_MO_DATA, .cmd_name = (char *)name,
                                  .cmd_flag_mask = CMD_FLAG_REQUEST | CMD_FLAG_PROXIABLE,
                                  .cmd_flag_val = (uint8_t)(request | CMD_FLAG_PROXIABLE) };
    return fd_dict_new(fd_g_config->cnf_dict, DICT_COMMAND, &data, application, out);
}

static int t6a_entry(char *file)
{
    struct dict_vendor_data vendor_data = { VENDOR_3GPP, (char *)"3GPP" };
    struct dict_application_data application_data = { APPLICATION_T6A, (char *)"T6a" };
    struct dict_object *vendor, *application, *request, *answer;
    struct disp_when when = { 0 };
    (void)file;
    CHECK_FCT(fd_dict_new(fd_g_config->cnf_dict, DICT_VENDOR, &vendor_data, NULL, &vendor));
    CHECK_FCT(fd_dict_new(fd_g_config->cnf_dict, DICT_APPLICATION, &application_data, vendor, &application));
    CHECK_FCT(add_command(application, "MO-Data-Request", CMD_FLAG_REQUEST, &request));
    CHECK_FCT(add_command(application, "MO-Data-Answer", 0, &answer));
    CHECK_FCT(add_avp(AVP_USER_IDENTIFIER, "User-Identifier", AVP_TYPE_GROUPED));
    CHECK_FCT(add_avp(AVP_BEARER_IDENTIFIER, "Bearer-Identifier", AVP_TYPE_OCTETSTRING));
    CHECK_FCT(add_avp(AVP_NON_IP_DATA, "Non-IP-Data", AVP_TYPE_OCTETSTRING));
    CHECK_FCT(fd_dict_search(fd_g_config->cnf_dict, DICT_AVP, AVP_BY_NAME, "Auth-Session-State", &session_state, ENOENT));
    when.app = application;
    when.command = request;
    CHECK_FCT(fd_disp_register(on_mo_data, DISP_HOW_CC, &when, NULL, NULL));
    return fd_disp_app_support(application, vendor, 1, 0);
}

EXTENSION_ENTRY("freediameter_t6a", t6a_entry);
