/*
 * A reader that takes its time: opens a file as most programs of Windows do (they let others read and write it, and not
 * remove or replace it), says so, and holds it until it is ended.
 */
#include <stdio.h>
#include <windows.h>

int wmain(int count, wchar_t **arguments) {
    if (count < 2) return 2;
    DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE;
    HANDLE file = CreateFileW(arguments[1], GENERIC_READ, share, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        printf("error %lu\n", (unsigned long)GetLastError());
        return 1;
    }
    printf("open\n");
    fflush(stdout);
    Sleep(INFINITE);
    return 0;
}
