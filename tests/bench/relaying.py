"""The sending worker: the relay of profiles, which listens to nobody."""

from crm_profiles.settings import Settings
from crm_shared.messaging import worker

if __name__ == "__main__":
    worker.run(Settings())
