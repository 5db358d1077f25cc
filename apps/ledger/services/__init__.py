"""What is done with the outbox: `enqueue` by the apps, `push` by workers, `listen` and `consume` by everybody."""
