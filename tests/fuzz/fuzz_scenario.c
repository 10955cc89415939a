/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "cli/lab/scenario.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script s;
    unsigned line = 0;
    char why[320] = "";
    struct buf out = {0};
    if (!script_parse(bytes_of(data, size), &s, &line, why, sizeof why)) {
        must(why[0] != 0 && strlen(why) < sizeof why);
        return 0;
    }
    for (size_t i = 0; i < s.n; i++) {
        for (size_t j = 0; j < s.scenarios[i].steps_n; j++) {
            const struct step *step = &s.scenarios[i].steps[j];
            must(step->a <= SCENARIO_REGIONS_MAX && step->b <= SCENARIO_REGIONS_MAX);
            if (step->expects)
                expect_print(&out, &step->expect);
        }
    }
    buf_deinit(&out);
    script_deinit(&s);
    return 0;
}
