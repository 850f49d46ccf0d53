/*
 * In place of Wine's tasklist.exe, which does nothing: tells the name of one process, as Windows answers to
 * tasklist /fi "PID eq NUMBER" /fo csv /nh
 */
#include <stdio.h>
#include <windows.h>
#include <tlhelp32.h>

int wmain(int count, wchar_t **arguments) {
    DWORD pid;
    if (count < 3 || swscanf(arguments[2], L"PID eq %lu", &pid) != 1) return 1;
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    for (BOOL found = Process32FirstW(all, &entry); found; found = Process32NextW(all, &entry)) {
        if (entry.th32ProcessID != pid) continue;
        printf("\"%ls\",\"%lu\",\"Services\",\"0\",\"1,024 K\"\r\n", entry.szExeFile, pid);
        return 0;
    }
    printf("INFO: No tasks are running which match the specified criteria.\r\n");
    return 0;
}
