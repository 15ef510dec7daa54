//! Codes of the PanDA server, of Harvester, and exit codes of payloads.

use super::Class::{self, Data, Decision, Environment, Internal, Killed, Limit, Payload, Service};
use super::{Code, Explanation, code};

/// `jobdispatchererrorcode`.
pub const DISPATCHER: &[Code] = &[
    code(
        100,
        "EC_Watcher",
        Killed,
        "lost heartbeat: the pilot stopped reporting",
        "look at the Harvester worker's end: wall time, preemption, a dead node or the network",
    ),
    code(101, "EC_Recovery", Internal, "a failed job was not recovered in time", ""),
    code(
        102,
        "EC_SendError",
        Service,
        "the job was sent to a pilot that gave no sign of life for half an hour",
        "look whether one site has it: the pilot died at its start or cannot reach the server",
    ),
    code(
        103,
        "EC_Holding",
        Data,
        "outputs were not registered in time",
        "look at Rucio registration of this task's outputs",
    ),
    code(
        104,
        "EC_Transferring",
        Data,
        "moving the outputs took too long",
        "look at the transfers to the destination",
    ),
    code(105, "EC_Timeout", Internal, "another time limit of the server was reached", ""),
];

const RETURNS: &str = "nothing: PanDA makes a new job for the work";

/// `taskbuffererrorcode` (100 is told apart by its text).
pub const TASKBUFFER: &[Code] = &[
    code(101, "EC_Transfer", Data, "it waited too long for a transfer", ""),
    code(
        102,
        "EC_Expire",
        Decision,
        "it waited too long in the queue and was given up",
        "ask why the queue gives no pilots if it is frequent; PanDA makes a new job for the work",
    ),
    code(103, "EC_Aborted", Decision, "it was stopped through an outside interface", ""),
    code(105, "EC_Reassigned", Decision, "it was moved to another queue", RETURNS),
    code(106, "EC_Retried", Decision, "the server made a new attempt", RETURNS),
    code(107, "EC_PilotRetried", Decision, "the pilot made a new attempt under a new record", RETURNS),
    code(
        110,
        "EC_LostFile",
        Data,
        "an input was lost from storage",
        "declare the file lost or recover it, then retry the task",
    ),
    code(111, "EC_EventServiceRetried", Decision, "event service: retried", ""),
    code(112, "EC_EventServiceMerge", Decision, "event service: a merge job was made", ""),
    code(113, "EC_EventServiceMergeFailed", Internal, "event service: the merge failed", ""),
    code(114, "EC_EventServiceMaxAttempt", Internal, "event service: all attempts are used up", ""),
    code(115, "EC_EventServiceWaitOthers", Decision, "event service: waits for others", ""),
    code(117, "EC_EventServiceUnprocessed", Decision, "event service: events are left over", ""),
    code(122, "EC_EventServicePreemption", Killed, "event service: preempted", ""),
    code(130, "EC_FastRebrokerage", Decision, "the queue had no pilots, so the job was moved", RETURNS),
    code(200, "EC_JobCloningUnlock", Decision, "another clone of the job was faster", ""),
    code(
        300,
        "EC_WorkerDone",
        Killed,
        "Harvester says that the worker ended before the job did",
        "look at the supervisor code and the Harvester worker",
    ),
    code(403, "EC_Forbidden", Internal, "the server refused the request", ""),
    code(404, "EC_NotFound", Internal, "the server does not know the thing asked for", ""),
];

/// `ddmerrorcode`.
pub const DDM: &[Code] = &[
    code(
        100,
        "EC_Setupper",
        Data,
        "an input or output dataset could not be set up",
        "look at the dataset's name, scope and account in Rucio",
    ),
    code(101, "EC_GUID", Data, "a file's id is wrong", ""),
    code(
        200,
        "EC_Adder",
        Data,
        "outputs could not be added to their dataset",
        "read the text: 'DataIdentifierAlreadyExists' means that an earlier attempt registered the file already",
    ),
    code(
        201,
        "EC_Subscription",
        Data,
        "a transfer rule could not be made",
        "look at quota and permissions of the account in Rucio",
    ),
    code(203, "EC_Location", Data, "no location is known", ""),
    code(204, "EC_MissingNumEvents", Data, "the number of events is absent", ""),
    code(205, "EC_InconsistentGUID", Data, "a file's id differs from the one known", ""),
    code(
        206,
        "EC_RSE",
        Data,
        "a storage element's setting is wrong",
        "ask the data managers about the storage element named in the text",
    ),
];

/// `superrorcode`, single numbers.
pub const SUPERVISOR: &[Code] = &[
    code(1, "INVALID_BATCH_ID", Internal, "the batch id does not fit the job", ""),
    code(2, "WORKER_ALREADY_DONE", Internal, "the worker had ended before", ""),
    code(1000, "GENERAL", Killed, "the batch slot ended for an unknown reason", ""),
    code(1001, "PREEMPTED", Killed, "the batch slot was preempted", "nothing, unless a site does it often"),
    code(2001, "WRAPPER_FAULT", Environment, "the pilot wrapper failed", "read the batch log"),
    code(2002, "PILOT_STUCK", Internal, "the wrapper killed a pilot that was stuck", ""),
    code(2064, "CVMFS", Environment, "CVMFS had trouble on the node", "tell the site which node it was"),
    code(
        2080,
        "PROXY",
        Environment,
        "the proxy was bad or too short",
        "renew the proxy that Harvester hands out",
    ),
    code(3200, "SCHEDD", Service, "the batch scheduler could not be reached", ""),
    code(4211, "ARC_MEMORY", Limit, "the batch system's memory limit was reached", ""),
    code(4214, "ARC_CPUTIME", Limit, "the batch system's CPU time limit was reached", ""),
    code(4215, "ARC_WALLTIME", Limit, "the batch system's wall time limit was reached", ""),
    code(
        5520,
        "DURATION",
        Limit,
        "the slot's allowed duration was exceeded",
        "shorten the jobs, or use a queue with a longer limit",
    ),
    code(
        5530,
        "SLOT_MEMORY",
        Limit,
        "the slot's memory limit was exceeded",
        "ask for a queue with more memory",
    ),
    code(
        5531,
        "PEAK_MEMORY",
        Limit,
        "the slot's peak memory limit was exceeded",
        "ask for a queue with more memory",
    ),
    code(5541, "DOCKER", Environment, "the container of the slot failed", ""),
    code(
        5601,
        "SLURM_SUBMIT",
        Service,
        "Slurm refused the submission",
        "look at account, allocation and Slurm's state at the site",
    ),
    code(5602, "SLURM_ID", Service, "Slurm gave no job id", ""),
    code(
        6801,
        "K8S_BACKOFF",
        Environment,
        "Kubernetes gave up restarting the container",
        "read the container's own log",
    ),
    code(6815, "K8S_DEADLINE", Limit, "the pod ran past its deadline", ""),
    code(
        8970,
        "REMOVED_PYTHON",
        Killed,
        "the batch job was removed by Harvester's own sweep",
        "look at the other codes of the job",
    ),
    code(
        8971,
        "CONDOR_RM",
        Killed,
        "somebody removed the batch job",
        "ask the site or the Harvester team who removed it",
    ),
    code(8982, "HELD_TOO_LONG", Killed, "the batch job was held too long", "look at the hold reason"),
    code(
        8984,
        "QUEUED_TOO_LONG",
        Killed,
        "the batch job waited too long in the batch queue",
        "look at the site's free slots",
    ),
    code(
        9000,
        "OTHER",
        Internal,
        "the batch system said something Harvester has no number for",
        "read the text",
    ),
];

/// First and last number, family, meaning.
const RANGES: &[(i64, i64, &str, Class, &str)] = &[
    (1, 999, "server", Internal, "the PanDA server noted a problem with the worker"),
    (2003, 2080, "wrapper", Environment, "the pilot wrapper failed"),
    (3100, 3199, "gridmanager", Service, "the grid manager could not start or follow the batch job"),
    (3600, 3699, "condor transfer", Data, "HTCondor could not move the slot's files"),
    (3800, 3899, "condor", Internal, "Harvester could not read the batch job's state"),
    (4100, 4199, "HTCondor-CE", Service, "the computing element lost the batch job"),
    (4200, 4299, "ARC batch system", Killed, "the batch system behind ARC ended the job"),
    (4300, 4399, "ARC", Service, "the ARC service did not do a step in time or refused it"),
    (5500, 5599, "batch limits", Limit, "a limit or a hold of the batch system"),
    (5600, 5699, "Slurm", Service, "Slurm did not take or keep the job"),
    (6800, 6899, "Kubernetes", Environment, "Kubernetes ended or refused the pod"),
    (8970, 8999, "removal", Killed, "the batch job was removed"),
];

/// A Harvester code by its family.
pub fn range(number: i64) -> Explanation {
    let found = RANGES.iter().find(|(low, high, ..)| (*low..=*high).contains(&number));
    match found {
        Some((_, _, family, class, meaning)) => Explanation {
            name: format!("{family} {number}"),
            meaning: (*meaning).into(),
            action: class.action().into(),
            class: *class,
            responsible: None,
            benign: false,
        },
        None => super::unknown("supervisor", number),
    }
}

/// Exit codes of payload and wrapper.
pub const EXITS: &[Code] = &[
    code(0, "EXIT_SUCCESS", Payload, "the payload itself ended well", "look at the other components"),
    code(1, "EXIT_FAILURE", Payload, "the payload failed without saying more", ""),
    code(2, "EXIT_MISUSE", Payload, "a shell command was used wrongly", ""),
    code(
        10,
        "EXIT_ARGUMENT",
        Payload,
        "an argument of the transform is missing",
        "look at the task's parameters",
    ),
    code(126, "EXIT_NOT_EXECUTABLE", Environment, "a command of the payload cannot be executed", ""),
    code(
        127,
        "EXIT_NOT_FOUND",
        Environment,
        "a command or image of the payload was not found",
        "check the container image and the set-up script: the program is not on the path",
    ),
    code(129, "EXIT_SIGHUP", Killed, "the payload was ended by a hang-up (signal 1)", ""),
    code(130, "EXIT_SIGINT", Killed, "the payload was interrupted (signal 2)", ""),
    code(131, "EXIT_SIGQUIT", Killed, "the payload was ended by signal 3 (quit)", ""),
    code(
        132,
        "EXIT_SIGILL",
        Payload,
        "illegal instruction: the program does not fit this CPU (signal 4)",
        "compare the CPU models of good and bad jobs",
    ),
    code(
        134,
        "EXIT_SIGABRT",
        Payload,
        "the program gave up: a failed assertion or an uncaught C++ exception (signal 6)",
        "read the last lines of payload.stderr",
    ),
    code(135, "EXIT_SIGBUS", Payload, "bus error (signal 7): often a full or failing disk", ""),
    code(136, "EXIT_SIGFPE", Payload, "arithmetic error (signal 8)", ""),
    code(
        137,
        "EXIT_SIGKILL",
        Limit,
        "killed (signal 9): out of memory, or the batch system",
        "compare maxrss with the queue's limit; ask for more memory",
    ),
    code(
        139,
        "EXIT_SIGSEGV",
        Payload,
        "segmentation fault (signal 11)",
        "take input and release and reproduce the crash; report it with the stack trace",
    ),
    code(141, "EXIT_SIGPIPE", Payload, "broken pipe (signal 13)", ""),
    code(143, "EXIT_SIGTERM", Killed, "terminated (signal 15): batch limit or node drain", ""),
    code(146, "EXIT_DOWNLOAD", Service, "the transform could not download its files", ""),
    code(152, "EXIT_SIGXCPU", Limit, "the CPU time limit was reached (signal 24)", ""),
];
