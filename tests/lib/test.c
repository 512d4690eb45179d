#include "tests/lib/test.h"

#include <stdlib.h>

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

void test_ok(enum status status, const struct err *err)
{
    if (status != STATUS_OK) {
        fail_msg("%s: %s", status_name(status), err->text);
    }
}
