/*
 * Prints the environment of a process, a variable to a line, as the agent for Windows reads it: out of the memory of the
 * process (agent: WindowsProcessExtensions). The offsets are those of 64-bit Windows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <windows.h>
#include <winternl.h>

#define PARAMETERS_IN_PEB 0x20
#define ENVIRONMENT_IN_PARAMETERS 0x80
#define MOST 65536

typedef NTSTATUS(NTAPI *Query)(HANDLE, PROCESSINFOCLASS, void *, ULONG, ULONG *);

int wmain(int count, wchar_t **arguments) {
    if (count < 2) return 2;
    HANDLE process = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, wcstoul(arguments[1], NULL, 10));
    Query query = (Query)(void *)GetProcAddress(GetModuleHandleW(L"ntdll"), "NtQueryInformationProcess");
    PROCESS_BASIC_INFORMATION information;
    if (process == NULL || query(process, ProcessBasicInformation, &information, sizeof information, NULL) != 0) return 3;
    char *peb = (char *)information.PebBaseAddress, *parameters, *environment;
    SIZE_T read;
    if (!ReadProcessMemory(process, peb + PARAMETERS_IN_PEB, &parameters, sizeof parameters, &read)) return 4;
    if (!ReadProcessMemory(process, parameters + ENVIRONMENT_IN_PARAMETERS, &environment, sizeof environment, &read)) return 5;
    wchar_t *text = calloc(MOST + 2, sizeof *text);
    // A page at a time: how long it is, is told by its end alone.
    for (SIZE_T at = 0; at < MOST * sizeof *text; at += 256) {
        if (!ReadProcessMemory(process, environment + at, (char *)text + at, 256, &read)) break;
    }
    for (wchar_t *line = text; *line != 0; line += wcslen(line) + 1) {
        char bytes[4 * 32768];
        WideCharToMultiByte(CP_UTF8, 0, line, -1, bytes, sizeof bytes, NULL, NULL);
        printf("%s\n", bytes);
    }
    return 0;
}
