/// Adds state to a function, such as a database: each call gets a clone of it.
///
/// The futures of the functions that handlers take outlive the call, so their state must be cloned into each of them. This
/// function does so, for closures and for functions defined elsewhere:
///
/// ```
/// use twentyfirst_client::backend::{ChatHandler, ChatRequest, ChatRun, ChatTurn, Refusal, with_state};
/// use twentyfirst_client::{AgentClient, Session};
/// # #[derive(Clone)]
/// # struct Database;
/// # impl Database {
/// #     async fn session_of(&self, turn: &ChatTurn) -> Result<Session, Refusal> { Err(Refusal::not_found("there is no such chat")) }
/// # }
///
/// async fn decide(database: Database, request: ChatRequest) -> Result<ChatRun, Refusal> {
///     let turn = request.read().await?;
///     let session = database.session_of(&turn).await?;
///     Ok(ChatRun::new(session.run(turn.messages)))
/// }
///
/// fn chats(client: AgentClient, database: Database) -> ChatHandler {
///     ChatHandler::new(client, with_state(database, decide))
/// }
/// ```
///
/// For several values, pass a tuple or a struct of your own.
pub fn with_state<S, R, Fut>(
    state: S,
    function: impl Fn(S, R) -> Fut + Send + Sync + 'static,
) -> impl Fn(R) -> Fut + Send + Sync + 'static
where
    S: Clone + Send + Sync + 'static,
    Fut: Future,
{
    move |request| function(state.clone(), request)
}
