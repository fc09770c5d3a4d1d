/* Reading, judging and refusing a Diameter message: no byte may lead outside, and
 * whatever is refused can be refused in a message that reads well itself. */
#include <stdint.h>
#include <stdlib.h>

#include "wire/diameter/check.h"
#include "wire/diameter/read.h"
#include "wire/diameter/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_BYTES = 2 * DIAMETER_MESSAGE_MAX };

static diameter_message message, again;
static uint8_t answer[ANSWER_BYTES];

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void refuse(const diameter_fault *fault)
{
    diameter_fault second;
    dro_builder out = dro_builder_over(answer, sizeof answer);
    diameter_header header = diameter_answer_header(&message.header, fault->result);
    size_t begin = diameter_begin(&out, &header);
    diameter_put_result(&out, fault->result, 0);
    diameter_put_failed(&out, fault);
    diameter_end(&out, begin);
    require(out.err == DRO_OK);
    if (dro_builder_length(&out) <= DIAMETER_MESSAGE_MAX)
        require(diameter_read(&again, answer, dro_builder_length(&out), &second));
}

extern uint64_t seen; /* not static: so that every byte is really read */
uint64_t seen;

static void walk(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < message.count; i++) {
        const diameter_avp *avp = &message.avps[i];
        require(avp->next > i && avp->next <= message.count && avp->depth < DIAMETER_DEPTH_MAX);
        for (uint32_t k = 0; k < avp->length; k++)
            sum += avp->data[k];
        sum += diameter_u32(avp) + diameter_u64(avp) + diameter_time(avp);
        const diameter_avp *other = diameter_find_next(&message, avp);
        require(other == NULL || other->parent == avp->parent);
        other = diameter_find_in(&message, avp, AVP_USER_NAME);
        require(other == NULL || other->parent == i);
    }
    seen = sum;
}

/* What is skimmed of a good message is what reading finds in it. */
static void skim(const uint8_t *data, size_t size)
{
    static const diameter_name names[] = { AVP_SESSION_ID, AVP_PROXY_INFO };
    require(diameter_skim(&again, data, size));
    for (int i = 0; i < 2; i++) {
        const diameter_avp *one = diameter_find(&message, names[i]), *other = diameter_find(&again, names[i]);
        for (; one != NULL && other != NULL; one = diameter_find_next(&message, one), other = diameter_find_next(&again, other))
            require(one->data == other->data && one->length == other->length && one->flags == other->flags);
        require(one == NULL && other == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    diameter_fault fault;
    diameter_skim(&message, data, size);
    walk();
    bool is_good = diameter_read(&message, data, size, &fault);
    walk();
    if (is_good)
        skim(data, size);
    if (!is_good) {
        require(fault.result != 0);
        refuse(&fault);
        return 0;
    }
    bool is_request = (message.header.flags & DIAMETER_FLAG_REQUEST) != 0;
    const diameter_command *command = diameter_command_find(message.header.code, message.header.application, is_request);
    if (command == NULL)
        return 0;
    is_good = is_request ? diameter_check_request(&message, command, &fault) : diameter_check_answer(&message, command, &fault);
    require(is_good == (fault.result == 0));
    if (!is_good)
        refuse(&fault);
    return 0;
}
