/*
 * The Windows half of the local agent: starts processes as the worker of the agent for Windows does (.NET's Process,
 * ProcessInvoker.Windows.cs), with anonymous pipes, a console without a window and an environment of its own, and ends
 * them with CTRL+C, CTRL+BREAK or by force, with all that they started. test/windows/worker.ts is its other half.
 *
 * It takes frames on its standard input and gives frames on its standard output. A frame is one character, the number
 * of the process and the length of what follows, both 32 bits, little endian. When its input ends, it ends, as a worker
 * that is killed: without a word to what it started.
 */
#define _WIN32_WINNT 0x0A00
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>
#include <tlhelp32.h>

#define MOST 64

typedef struct {
    uint32_t number;
    HANDLE process;
    DWORD pid;
    HANDLE out;
    HANDLE err;
} Child;

static Child children[MOST];
static CRITICAL_SECTION writing;
static HANDLE input;
static HANDLE output;

static void writeAll(const void *bytes, DWORD length) {
    const char *at = bytes;
    while (length > 0) {
        DWORD written = 0;
        if (!WriteFile(output, at, length, &written, NULL)) ExitProcess(0);
        at += written;
        length -= written;
    }
}

static void tell(char what, uint32_t number, const void *bytes, uint32_t length) {
    unsigned char head[9] = {(unsigned char)what};
    memcpy(head + 1, &number, 4);
    memcpy(head + 5, &length, 4);
    EnterCriticalSection(&writing);
    writeAll(head, sizeof head);
    writeAll(bytes, length);
    LeaveCriticalSection(&writing);
}

static void tellNumber(char what, uint32_t number, DWORD value) {
    char text[16];
    tell(what, number, text, (uint32_t)sprintf(text, "%lu", (unsigned long)value));
}

static int readAll(void *bytes, DWORD length) {
    char *at = bytes;
    while (length > 0) {
        DWORD count = 0;
        if (!ReadFile(input, at, length, &count, NULL) || count == 0) return 0;
        at += count;
        length -= count;
    }
    return 1;
}

static void copyOut(HANDLE from, char what, uint32_t number) {
    char bytes[16384];
    DWORD count;
    while (ReadFile(from, bytes, sizeof bytes, &count, NULL)) {
        if (count > 0) tell(what, number, bytes, count);
    }
    CloseHandle(from);
    // A frame of no length: the stream has ended.
    tell(what, number, "", 0);
}

static DWORD WINAPI copyStdout(void *child) {
    copyOut(((Child *)child)->out, 'o', ((Child *)child)->number);
    return 0;
}

static DWORD WINAPI copyStderr(void *child) {
    copyOut(((Child *)child)->err, 'e', ((Child *)child)->number);
    return 0;
}

static DWORD WINAPI awaitEnd(void *argument) {
    Child *child = argument;
    DWORD code = 0;
    WaitForSingleObject(child->process, INFINITE);
    GetExitCodeProcess(child->process, &code);
    tellNumber('x', child->number, code);
    return 0;
}

static wchar_t *wide(const char *text, DWORD length, DWORD *count) {
    *count = (DWORD)MultiByteToWideChar(CP_UTF8, 0, text, (int)length, NULL, 0);
    wchar_t *result = calloc(*count + 2, sizeof(wchar_t));
    MultiByteToWideChar(CP_UTF8, 0, text, (int)length, result, (int)*count);
    return result;
}

static void pipeOf(HANDLE *ours, HANDLE *theirs, int weRead) {
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    HANDLE reading, writingEnd;
    CreatePipe(&reading, &writingEnd, &inherited, 0);
    *ours = weRead ? reading : writingEnd;
    *theirs = weRead ? writingEnd : reading;
    SetHandleInformation(*ours, HANDLE_FLAG_INHERIT, 0);
}

/* What is to be started: the folder, the command line, and each variable, every one of them ended by a zero. */
static void start(uint32_t number, const char *text, DWORD length) {
    Child *child = NULL;
    for (int i = 0; i < MOST && child == NULL; i++) {
        if (children[i].number == 0) child = &children[i];
    }
    if (child == NULL) {
        tellNumber('f', number, ERROR_TOO_MANY_TCBS);
        return;
    }
    DWORD count;
    wchar_t *all = wide(text, length, &count);
    wchar_t *folder = all;
    wchar_t *line = folder + wcslen(folder) + 1;
    wchar_t *environment = line + wcslen(line) + 1;

    HANDLE inOurs, inTheirs, outTheirs, errTheirs;
    pipeOf(&inOurs, &inTheirs, 0);
    pipeOf(&child->out, &outTheirs, 1);
    pipeOf(&child->err, &errTheirs, 1);
    STARTUPINFOW startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    startup.hStdInput = inTheirs;
    startup.hStdOutput = outTheirs;
    startup.hStdError = errTheirs;
    PROCESS_INFORMATION made;
    DWORD flags = CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT;
    BOOL started = CreateProcessW(NULL, line, NULL, NULL, TRUE, flags, environment, folder, &startup, &made);
    DWORD fault = started ? 0 : GetLastError();
    CloseHandle(inTheirs);
    CloseHandle(outTheirs);
    CloseHandle(errTheirs);
    CloseHandle(inOurs);
    free(all);
    if (!started) {
        CloseHandle(child->out);
        CloseHandle(child->err);
        tellNumber('f', number, fault);
        return;
    }
    CloseHandle(made.hThread);
    child->number = number;
    child->process = made.hProcess;
    child->pid = made.dwProcessId;
    tellNumber('p', number, child->pid);
    CloseHandle(CreateThread(NULL, 0, copyStdout, child, 0, NULL));
    CloseHandle(CreateThread(NULL, 0, copyStderr, child, 0, NULL));
    CloseHandle(CreateThread(NULL, 0, awaitEnd, child, 0, NULL));
}

typedef struct {
    HANDLE process;
    DWORD event;
} Press;

/* Waits for ever where the process ends in the same moment; so it is a thread of its own that does. */
static DWORD WINAPI pressOne(void *given) {
    Press *one = given;
    void *routine = (void *)GetProcAddress(GetModuleHandleW(L"kernelbase"), "CtrlRoutine");
    void *event = (void *)(uintptr_t)one->event;
    HANDLE thread = CreateRemoteThread(one->process, NULL, 0, (LPTHREAD_START_ROUTINE)routine, event, 0, NULL);
    if (thread != NULL) CloseHandle(thread);
    CloseHandle(one->process);
    free(one);
    return 0;
}

/*
 * As the agent does it: CTRL+C goes to everything that shares the console of the process. It is given as Windows gives it:
 * in a thread of its own, at CtrlRoutine. Wine would interrupt the program's own thread instead, and hangs where that is
 * just starting a process; and its consoles know no CTRL+BREAK, which goes to the process alone.
 */
static void press(DWORD event, Child *child) {
    DWORD pids[MOST] = {child->pid}, count = 1;
    if (event == CTRL_C_EVENT) {
        FreeConsole();
        if (AttachConsole(child->pid)) count = GetConsoleProcessList(pids, MOST);
        FreeConsole();
    }
    for (DWORD i = 0; i < count && i < MOST; i++) {
        HANDLE process = pids[i] == GetCurrentProcessId() ? NULL : OpenProcess(PROCESS_ALL_ACCESS, FALSE, pids[i]);
        if (process == NULL) continue;
        Press *one = malloc(sizeof *one);
        *one = (Press){.process = process, .event = event};
        CloseHandle(CreateThread(NULL, 0, pressOne, one, 0, NULL));
    }
}

static void killTree(DWORD pid, int depth) {
    if (depth > 8) return;
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry = {.dwSize = sizeof entry};
    for (BOOL found = Process32FirstW(all, &entry); found; found = Process32NextW(all, &entry)) {
        // The console is none of the process's own; without it, it would end by itself.
        if (_wcsicmp(entry.szExeFile, L"conhost.exe") == 0) continue;
        if (entry.th32ParentProcessID == pid && entry.th32ProcessID != pid) killTree(entry.th32ProcessID, depth + 1);
    }
    CloseHandle(all);
    HANDLE process = OpenProcess(PROCESS_TERMINATE, FALSE, pid);
    if (process != NULL) {
        TerminateProcess(process, (UINT)-1);
        CloseHandle(process);
    }
}

int wmain(void) {
    InitializeCriticalSection(&writing);
    input = GetStdHandle(STD_INPUT_HANDLE);
    output = GetStdHandle(STD_OUTPUT_HANDLE);
    unsigned char head[9];
    while (readAll(head, sizeof head)) {
        uint32_t number, length;
        memcpy(&number, head + 1, 4);
        memcpy(&length, head + 5, 4);
        char *bytes = malloc(length + 1);
        if (!readAll(bytes, length)) break;
        if (head[0] == 'S') start(number, bytes, length);
        for (int i = 0; i < MOST; i++) {
            Child *child = &children[i];
            if (child->number != number || child->number == 0) continue;
            if (head[0] == 'C') press(CTRL_C_EVENT, child);
            if (head[0] == 'B') press(CTRL_BREAK_EVENT, child);
            if (head[0] == 'K') killTree(child->pid, 0);
            if (head[0] == 'T') TerminateProcess(child->process, 1);
        }
        free(bytes);
    }
    return 0;
}
