"""The sandbox program: runs Python that nobody vouches for, one attempt after another.

    supervisor ──exec──► zygote ──fork──► child (one per attempt)

The supervisor alone knows the mailbox and its URLs. The zygote, started with a clean environment, holds
the preloaded libraries. The child confines itself before it reads a byte of the code that it is to run.
Everything that comes back from a child is untrusted.
"""
