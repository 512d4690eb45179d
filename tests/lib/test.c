#include "tests/lib/test.h"

#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file_sys.h"
#include "base/text.h"

void test_dir_make(char path[TEST_PATH_SIZE])
{
    text_copy_cut(path, TEST_PATH_SIZE, "/tmp/pgbaton-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

void test_dir_remove(const char *path)
{
    struct err err;

    test_ok(file_remove_tree(path, &err), &err);
}

void test_path(char path[TEST_PATH_SIZE], const char *dir, const char *name)
{
    struct text text;

    text_init(&text, path, TEST_PATH_SIZE);
    text_addf(&text, "%s/%s", dir, name);
    assert_false(text_overflowed(&text));
}

bool test_lend_capability(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, data) == -1) {
        return false;
    }
    data[0].inheritable |= 1U << CAP_SYS_NICE;
    return syscall(SYS_capset, &header, data) == 0 &&
           prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_NICE, 0, 0) == 0;
}

void test_ok(enum status status, const struct err *err)
{
    if (status != STATUS_OK) {
        fail_msg("%s: %s", status_name(status), err->text);
    }
}
